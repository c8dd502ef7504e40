// Package endpoint is the bridge's seat on a D-Bus: it authenticates, owns the
// bus name, takes method calls in and sends replies and signals out.
//
// godbus is a good client and is used as one elsewhere, to the bus itself. It is not used here,
// because it starts a goroutine for every call: 2000 pipelined calls of one sender
// came out in another order 82 to 98 times, 100 000 of them took a server from
// 4 MB to 1 GB, and descriptors sent to unknown methods leaked; and as a client it takes an answer by its number alone, whoever
// sends it, and decodes as much as comes (godbus 5.2.4).
//
// # How a call flows
//
// One goroutine reads the socket and frames messages. A call is handed to the [Handler] when its sender's turn has
// come: on the same goroutine where it is small and no other small one waits, else on one that takes turns, so that a
// call that takes long delays no reading: what we don't read in time, the bus refuses, whoever sent it. The handler
// never blocks: it answers, starts work that answers later, or says [Later], and
// then the call waits at the head of its sender's queue until [Conn.Wake]. Calls of
// one sender start in the order in which they were sent. Accounts take turns, and so
// do the senders of each: an [Account] is who answers for senders, the user who
// opened the connections, so who floods delays itself only, however many connections
// it has. While the bus does not take what we write, no
// call is started, and once one would have to be refused, nothing more is read.
//
// Wake may have one small call handled on the goroutine that calls it.
//
// Who has more than 1 MiB waiting has his larger calls paced: after each he rests for some times as long as it
// took. What comes meanwhile waits, or is refused at the price of its header, so that reading goes on.
//
// What we ask others ([Conn.Ask]) is answered on the goroutine that reads; an answer counts if it is from whom was asked.
//
// Replies and signals are written whole, at once where the socket takes them and by
// a writer goroutine where it does not, so that nobody who sends ever waits.
//
// # Limits
//
// [Limits] and the constants beside it are what a sender can make us hold, an account
// half of what all may, and all who are no administrators three quarters; past them a call is answered
// org.freedesktop.DBus.Error.LimitsExceeded and its descriptors are closed.
//
// # Usage
//
//	conn, err := endpoint.Dial(ctx, "unix:path=/run/vm/bus", endpoint.Config{Log: logger})
//	...
//	err = conn.RequestName(ctx, "org.qemu.VM1")
//	...
//	err = conn.Serve(handler) // until the bus goes, the name is lost, or Close
package endpoint
