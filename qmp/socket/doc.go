// Package socket is a Unix stream socket for proxies: bytes and file
// descriptors in, whole messages with their file descriptors out, and a
// sender that never waits.
//
// Go's net package parks a goroutine on every read and hands it over to the
// network poller; for a proxy that answers one message with another that
// hand-over costs more than the work. Here the socket is in blocking mode:
// [Conn.Read] is a ppoll(2) that blocks its goroutine's thread and one recvmsg(2), and
// [Conn.Send] is one sendmsg(2) with MSG_DONTWAIT on the caller's goroutine.
// Only what does not fit into the socket's buffer is copied to a queue, which
// a goroutine drains; it exists only while something is queued. So a Conn costs
// one thread for its reader, and one more while its peer reads slowly.
//
// The runtime lets a thread that blocks in a system call keep its scheduler slot
// until its monitor notices, which takes from 20 us to 10 ms. So a process should have
// more slots (runtime.GOMAXPROCS) than readers that block plus one: with 2 slots and two
// blocked readers a third goroutine that can run waits for the monitor.
//
// Limits: [DefaultLimit] bytes queued (see [Conn.SetLimit]), [MaxQueuedFDs] file
// descriptors queued, [MaxFDs] with one message. What exceeds them is refused,
// the file descriptors closed, and the connection stays as it was.
//
// A typical user has one goroutine that reads, and sends from anywhere:
//
//	c, err := socket.Dial(ctx, "/run/qemu/qmp.sock")
//	if err != nil {
//		return err
//	}
//	defer c.Close()
//	go serve(c) // calls c.Read until it fails
//	err = c.Send([]byte("{\"execute\":\"query-status\"}\n"), nil)
package socket
