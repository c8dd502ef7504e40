// Package schema is the D-Bus face of QAPI: names, values and descriptions of
// QMP commands and events as they appear on the bus.
//
// It is pure. Values go from bytes to bytes in one direction each:
//
//	D-Bus body -> AppendObject, AppendValue  -> QMP arguments   (arguments.go)
//	JSON text  -> Canonical                  -> QMP arguments   (canonical.go)
//	QMP reply  -> EncodeVariant, EncodeDict  -> D-Bus body      (result.go)
//	QMP reply  -> Text                       -> D-Bus string    (text.go)
//	query-qmp-schema -> ParseCatalogue       -> names, signals  (catalogue.go)
//	tables of Interface -> AppendXML         -> introspection   (xml.go)
//
// Without knowing a value's QAPI type, JSON and D-Bus meet like this:
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
// A variant stands for its content, however deep. Anything else has no JSON
// form and is an [ArgumentError] which names the place.
//
// What goes to QEMU is held to what QEMU's parser takes: QEMU answers a text
// that it can't parse without the id of the command, so the answer would find
// nobody. Such arguments are refused here, before anything is sent. What comes
// from QEMU is trusted with nothing: whatever is not representable on D-Bus
// becomes U+FFFD, and what exceeds D-Bus' limits is an error that wraps
// wire.ErrLimit.
//
// Answering a call of Call(s command, a{sv} arguments) -> v is
//
//	request, err := schema.AppendObject(nil, &decoder, command)
//	...
//	err = schema.EncodeVariant(&encoder, reply)
package schema
