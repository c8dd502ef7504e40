package main

import (
	"encoding/binary"

	"qmp-dbus-bridge/schema/wire"
)

// Where things are in a message, and codes of header fields (D-Bus specification, "Message Format").
const (
	offsetSerial     = 8
	offsetFieldsSize = 12

	fieldMember      = 3
	fieldErrorName   = 4
	fieldReplySerial = 5
	fieldSender      = 7
)

// request is a message that is encoded once and sent many times, by one goroutine. An error is
// told by bus.send.
type request struct {
	wire []byte
	err  error
}

func newRequest(h wire.Header, fill func(*wire.Encoder)) *request {
	h.Serial = 1 // send writes another
	var e wire.Encoder
	e.Begin(&h)
	if fill != nil {
		fill(&e)
	}
	b, err := e.Finish()
	return &request{b, err}
}

func newCall(destination, path, iface, member, signature string, fill func(*wire.Encoder)) *request {
	return newRequest(wire.Header{
		Type: wire.MethodCall, Destination: destination, Path: path, Interface: iface, Member: member, Signature: signature,
	}, fill)
}

func driverCall(member, signature string, fill func(*wire.Encoder)) *request {
	return newCall(driverName, driverPath, driverName, member, signature, fill)
}

// message is a received one. It is little-endian: all who take part are.
type message []byte

func (m message) kind() wire.MessageType { return wire.MessageType(m[1]) }

func (m message) serial() uint32 { return binary.LittleEndian.Uint32(m[offsetSerial:]) }

func (m message) replySerial() uint32 {
	value := m.field(fieldReplySerial)
	if len(value) != 4 {
		return 0
	}
	return binary.LittleEndian.Uint32(value)
}

// field gives the value of a header field without its length, nil if there is none. The bus has
// checked the header.
func (m message) field(code byte) []byte {
	end := wire.FixedHeaderSize + int(binary.LittleEndian.Uint32(m[offsetFieldsSize:]))
	for p := wire.FixedHeaderSize; p < end; p = (p + 7) &^ 7 {
		found := m[p] == code
		kind := m[p+2] // behind the code and the length of the type, which is 1
		p += 4
		size := 4 // of a u
		if kind == 'g' {
			size = int(m[p]) + 1
			p++
		} else if kind != 'u' {
			size = int(binary.LittleEndian.Uint32(m[p:])) + 1
			p += 4
		}
		if found && kind == 'u' {
			return m[p : p+size]
		}
		if found {
			return m[p : p+size-1]
		}
		p += size
	}
	return nil
}
