// Package schema is the D-Bus face of QAPI: names, values and descriptions of
// QMP commands and events as they appear on the bus.
//
// [ParseTable] reads what query-qmp-schema returned into a [Table]: a plan for
// each command ([Command]: signatures, arguments, replies) and the events. It is
// what introspection shows ([Table.Methods], [Table.Signals], [AppendXML]) and
// what dispatches calls, so the two can't differ.
//
// The package is pure. Values go from bytes to bytes in one direction each:
//
//	D-Bus body -> Command.AppendArguments, AppendMembers  -> QMP arguments  (argument_*.go)
//	D-Bus body -> Command.AppendMethod                    -> QMP arguments  (own.go)
//	JSON text  -> Canonical                               -> QMP arguments  (canonical.go)
//	QMP reply  -> Command.EncodeResult, EncodeVariant     -> D-Bus body     (result_*.go)
//	its part   -> Command.EncodeElement                   -> D-Bus body
//	QMP event  -> Table.EncodeEvent                       -> D-Bus body     (events.go)
//	QMP reply  -> Text                                    -> D-Bus string   (text.go)
//
// JSON and D-Bus meet like this, S being the type in the schema and the signature
// what is shown and written, in a variant unless it is an argument or an element:
//
//	S            signature   read from
//	str          s           s o
//	enum         s           s o, one of its values
//	int          x           y n q i u x t
//	number       d           d, finite; y n q i u x t
//	bool         b           b
//	null         v with g "" g "" (the empty signature)
//	object       a{sv}       a{s?}; unknown and missing members are errors
//	array of E   a and E's   any array or struct
//	alternate    v           what its choices are read from
//	any          v           all of these; see below
//
// A variant stands for its content, however deep. In a variant, integers from
// 2^63 on are t, and an array with such ones is at, or av if others are negative.
// What a reply has that is not of its type in the schema is written as any, and
// counted ([Misfits]). Members are written in the order of the schema, then those
// that it doesn't have, sorted.
//
// Of type any, and where there is no schema ([AppendValue], [EncodeVariant]):
//
//	JSON                  D-Bus                     and back
//	null                  g "" (empty signature)    null
//	true, false           b                         true, false
//	integer               x; t from 2^63 on;        y n q i u x t: integer
//	                      d beyond 64 bits
//	number with . e E     d                         d: always with . or e; finite only
//	string                s                         s, o: string
//	array                 av                        any array or struct: array
//	object                a{sv}, keys sorted        a{s?}: object
//
// Where QEMU wants a string, or there is no schema, a file descriptor may be given, whose name is for others
// to fill in ([Descriptor]).
//
// Anything else has no JSON form and is an [ArgumentError] which names the place:
//
//	blockdev-add.file.filename: expected string, got int
//
// What goes to QEMU is held to what QEMU's parser takes: QEMU answers a text
// that it can't parse without the id of the command, so the answer would find
// nobody. Such arguments are refused here, before anything is sent. What comes
// from QEMU is trusted with nothing: whatever is not representable on D-Bus
// becomes U+FFFD, and what exceeds D-Bus' limits is an error that wraps
// wire.ErrLimit.
//
// Which members are arguments of their own is frozen (frozen.tsv, kept by the
// program in freeze), so that a method's signature is the same on every QEMU.
//
// Answering a call of a command's own method is
//
//	command := table.Method(member)
//	request, err := command.AppendArguments(nil, &decoder, signature, nil)
//	...
//	misfits, err := command.EncodeResult(&e, reply) // e begun with command.OutSignature()
package schema
