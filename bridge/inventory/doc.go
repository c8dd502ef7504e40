// Package inventory reads what a VM is made of from QEMU's replies: QMP in, D-Bus objects and
// property values out. It does no I/O.
//
// [Queries] is the table of all that is read: for each QMP command the facts and the objects that its
// reply tells, and the events and commands after which it may tell something else. [TouchedByEvent] and
// [TouchedByCommand] look that up the other way round.
//
// What query-jobs does not tell of jobs a [Ledger] knows by what it has heard: events, and commands that start one
// ([StartedJob]).
//
//	for i := range inventory.Queries {
//		q := &inventory.Queries[i]
//		reading, err := q.Read(reply of q.Command with q.Arguments)
//	}
//
// # Limits
//
// QEMU may be hostile: of one reply at most [MaxItems] objects are read, with names of at most [MaxName]
// bytes; [Reading.Left] counts the others. Of jobs that QEMU has no more [MaxKept] are kept. A text has at most [MaxText] bytes and is valid for D-Bus.
package inventory
