// Package wire is the D-Bus wire format: signatures, names, message headers, a
// decoder and an encoder for message bodies. It is pure: bytes in, bytes out.
//
// A received message goes through [MessageSize] (how many bytes to wait for),
// [ParseMessage] (the header, with every rule of the D-Bus specification) and a
// [Decoder], which walks the body by its signature and checks each value when it
// reads it. A message to send goes through an [Encoder]: Begin writes the header,
// the value methods append the body, and Finish gives the bytes.
//
//	var e wire.Encoder
//	e.Begin(&wire.Header{
//		Type: wire.MethodReturn, Serial: 7, ReplySerial: 3,
//		Destination: ":1.5", Signature: "a{sv}",
//	})
//	e.OpenArray("{sv}")
//	e.OpenDictEntry()
//	e.String("status")
//	e.OpenVariant("s")
//	e.String("running")
//	e.CloseVariant()
//	e.CloseDictEntry()
//	e.CloseArray()
//	message, err := e.Finish()
//
// Both byte orders are read, little-endian is written. Neither side uses
// reflection or allocates for an element. Errors stick: the first one ends the
// walk, later calls do nothing, and the caller looks once, at the end.
//
// What an Encoder finishes is valid: contents (text, paths, signatures, names,
// sizes, nesting) are checked as they are written, and so is structure, since
// every value has to be the next one that the announced signature wants.
//
// The limits are the constants of this package; what exceeds one fails with
// [ErrLimit]. Duplicate dictionary keys are left to the reader of a dictionary, as
// the specification allows.
//
// A message for which MessageSize fails leaves the stream without framing, so its
// connection has to end. One for which only ParseMessage or the Decoder fails can
// be dropped by itself. That difference matters behind a bus: libdbus is more
// lenient than the specification in places (nesting in signatures, deep arrays of
// numbers), so a peer can get such a message delivered.
package wire
