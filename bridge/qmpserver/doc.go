// Package qmpserver is the server's side of QMP, as a client meets it at QEMU's monitor (docs/interop/qmp-spec, and
// monitor/qmp.c and qobject/json-*.c for what that leaves open).
//
//	conn, theirs, err := qmpserver.Pair(maxRequest)
//	...
//	err = conn.Greet(version)
//	for {
//		command, err := conn.Next() // past the negotiation, which is answered here
//		...
//		err = conn.Return(command.ID, result) // or conn.Refuse
//	}
//
// Requests need no end of line: one is complete when its brackets are. What is no request is answered with QEMU's error
// and its words, as far as they are known here; after a stray character the rest of the line is passed over. Strings in
// single quotes, an extension of QEMU's, are none. The id may be any JSON value, and comes back without the white space
// between its tokens.
//
// Out-of-band execution is not offered, and then a monitor reads a client's next request when it has answered the one
// before: so does whoever calls Next. It also waits until the client has taken the answers, so that who
// does not read is not read either.
//
// File descriptors belong to the request that they were sent with, the last one if there were several in one message. QEMU has them wait for
// whichever command takes one next; here who gets a request gets them, and none wait.
//
// # Limits
//
// At most MaxFDs descriptors come with a request. A request has as many bytes as it is told, MaxRequest, and 1024 levels, as in QEMU. A reply has MaxReply bytes. Beside one
// reply 1 MiB of events may wait, MaxWaiting in all: who does not take them loses the connection, since a
// QMP client can't be told that it has missed some.
package qmpserver
