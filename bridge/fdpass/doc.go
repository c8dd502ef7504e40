// Package fdpass passes file descriptors to QEMU and takes them back. QEMU has them by name (getfd, closefd) and in sets (add-fd, remove-fd),
// for all clients of its monitors alike, and keeps them over the end of a connection; whose each is only [Holdings] knows.
//
// # Who owns what
//
//   - A name or a set of the bridge's own is for one command of a caller's that a descriptor was given with ([Holdings.Start] and
//     bridge/fdarg), or is a [Set] that the bridge asks for. Nobody can guess it, and nobody may name it.
//   - Those that a caller has passed with getfd and add-fd are its alone: no other can name, replace, close or remove them.
//   - What QEMU has from elsewhere is not known here, and left as it is.
//
// # When they are taken back
//
//   - At once, what a command failed to take, or needed only while it was executed.
//   - A set of a block node or a job, when there is none any more. QEMU is asked about that after what may have ended one ([Holdings.Heard],
//     [Holdings.Executed]).
//   - What is a caller's, when it takes it back, when a command takes it, or when it has left ([Holdings.Forget]).
//   - What the end of a connection has left over, when QEMU has been reached again ([Holdings.Gather]).
//
// # What is asked of QEMU
//
// For a command with descriptors getfd or add-fd before it, and closefd or remove-fd behind it, each by the bridge's own right. The connection
// has them at once, so that no later command overtakes it. Besides that query-named-block-nodes and query-jobs where sets are kept, and query-fdsets
// when QEMU has been reached again. Nothing blocks: what QEMU answers is taken in by the reader of its connection.
//
// # Limits
//
// QEMU has at most 256 sets from here. Of callers' own descriptors it has at most 64 by name and as many in sets: 16 of a caller, 32 of a user, and
// 48 of users that are no administrators. Before 9.1 it lets go of what is removed from its sets only while the guest runs; 64 such are
// the most. A name of a caller's has at most 255 bytes.
//
//	h := fdpass.New(running)
//	h.Gather(monitor) // when it has been reached
//	err := fdarg.Check(name, arguments, given, h.Names(owner))
//	h.Start(monitor, fdpass.Command{...}, func(reply qmp.Reply) { h.Executed(monitor, command) })
//	h.Heard(monitor, event)
//	h.Forget(owner) // when it has left
package fdpass
