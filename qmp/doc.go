// Package qmp is a client of QMP, the control protocol of QEMU: one [Conn] per
// monitor, any number of commands at once from any goroutine, events as they come.
//
// # Flow
//
// [Conn.Start] writes a command at once, on the caller's goroutine, and never waits:
// not for QEMU to answer and not for it to read. One goroutine per Conn reads; it parses
// each line once and calls the command's callback or [Options].OnEvent, which
// therefore must not block. [Conn.Execute] is Start for those who would wait.
//
// QEMU reads requests byte by byte, at about 4 us a byte, so requests have no white
// space, and a command that is alone has no id: a reply without id belongs to the
// one command in flight that was sent without. The others have ids of one or two
// digits. Replies that fit no command in flight are dropped, counted and logged.
//
// # Order, and what is held back
//
// Commands reach QEMU in the order of Start, out-of-band ones (where
// negotiated) apart from the others. What exceeds [MaxInBand] or [MaxOutOfBand] in flight
// waits in the Conn, up to [MaxWaiting] commands and [MaxWaitingBytes] of arguments;
// up to [MaxUnsent] bytes wait for a QEMU that does not read. Past a limit a command is
// refused with [ErrFull].
//
// # File descriptors
//
// QEMU keeps the file descriptors that it received last until a command takes them,
// whichever that is: on QEMU 7.2 two getfd commands in flight took each other's in half
// of all tries, and a getfd without one took what had come with some other command.
// And while its main thread takes them, the thread that reads the monitor looks at them again with
// each byte: QEMU 5.2 died of that once in some 500 pairs of an add-fd and a command
// written behind it, and of none in 200000 where its answer was waited for; later ones crash
// less easily, but 10.0 still does the same.
// So a Conn sends nothing behind getfd or add-fd until that is answered, but what is out of
// band; it refuses file descriptors with any other command, and answers getfd and
// add-fd without one by itself, in QEMU's words.
//
// # Errors and the end
//
// What QEMU refused is an [*Error]. A Conn ends once, when QEMU closes the connection,
// sends what is not QMP, or Close is called; then every command that was not answered
// fails with [ErrClosed], except a quit that was sent: for it the end is success.
// [Redialer] makes a new Conn then; nothing is sent again by itself.
//
//	c, err := qmp.Dial(ctx, "/run/qemu/qmp.sock", qmp.Options{})
//	if err != nil {
//		return err
//	}
//	defer c.Close()
//	status, err := c.Execute(ctx, qmp.Command{Name: "query-status"})
package qmp
