// Package inventory reads what a VM is made of from QEMU's replies: QMP in, D-Bus objects and
// property values out. It does no I/O.
//
// [Queries] is the table of all that is read: for each QMP command the facts and the objects that its
// reply tells, and the events and commands after which it may tell something else. [TouchedByEvent] and
// [TouchedByCommand] look that up the other way round. What a reply does not tell of its objects is asked for each that is
// new ([Detail], [Inquiry]), or was heard before; [Known] keeps it, as long as the object is there.
//
// What query-jobs does not tell of jobs a [Ledger] knows by what it has heard: events, and commands that start one
// ([StartedJob]). [DriveStats] and [ReadProperties] read what a caller has asked for.
//
//	for i := range inventory.Queries {
//		q := &inventory.Queries[i]
//		known := q.Known()
//		known.Asked()
//		reading, err := q.Read(reply of q.Command with q.Arguments)
//		inquiry := known.Inquire(reading.Items)
//		for question, found := inquiry.Next(); found; question, found = inquiry.Next() {
//			err = inquiry.Learn(question, reply of question.Command with question.Arguments)
//		}
//		reading = known.Complete(reading)
//	}
//
// # Limits
//
// QEMU may be hostile: of one reply at most [MaxItems] objects are read, with names of at most [MaxName]
// bytes; [Reading.Left] counts the others. Of jobs that QEMU has no more [MaxKept] are kept. Of objects that are
// there alone something is known, and of as many links that were set before the NICs were read. Of a QOM object at most
// [MaxProperties] properties are read, and the tree of devices if it has at most [MaxTree] bytes. A text has at most [MaxText] bytes, a file's name [MaxFile], and is valid for D-Bus.
package inventory
