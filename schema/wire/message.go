package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// FixedHeaderSize is the part of a message from which its size can be told.
const FixedHeaderSize = 16

const protocolVersion = 1

// Message is a received message. Body aliases what was parsed; the Header has
// copies of its own, which share memory: keeping one of its strings for long keeps
// them all, at most some 1 KiB.
type Message struct {
	Header
	Order binary.ByteOrder // of Body: binary.LittleEndian or binary.BigEndian
	Body  []byte
}

// MessageSize gives the size in bytes of the message that begins with fixed, of
// which the first FixedHeaderSize bytes are needed. An error means that the stream
// can't be followed: unknown byte order or protocol version, or a size over the
// limits (ErrLimit).
func MessageSize(fixed []byte) (int, error) {
	if len(fixed) < FixedHeaderSize {
		return 0, fmt.Errorf("message header of %d bytes", len(fixed))
	}
	var order binary.ByteOrder = binary.LittleEndian
	switch fixed[0] {
	case 'l':
	case 'B':
		order = binary.BigEndian
	default:
		return 0, fmt.Errorf("unknown byte order %q", fixed[0])
	}
	if fixed[3] != protocolVersion {
		return 0, fmt.Errorf("unknown protocol version %d", fixed[3])
	}
	body, fields := int64(order.Uint32(fixed[4:])), int64(order.Uint32(fixed[12:]))
	if fields > MaxArray {
		return 0, fmt.Errorf("header fields: %w", errArrayLong)
	}
	size := (FixedHeaderSize+fields+7)&^7 + body
	if size > MaxMessage {
		return 0, errMessageLong
	}
	return int(size), nil
}

// ParseMessage reads the header of the message b, which has to be exactly one, by
// every rule of the specification. Unknown types, flags and fields are no errors.
// The body is not looked at: that is for a Decoder, whose End checks all of it. An error leaves
// the stream as it is: the next message begins after b.
func ParseMessage(b []byte) (Message, error) {
	size, err := MessageSize(b)
	if err != nil {
		return Message{}, err
	}
	if size != len(b) {
		return Message{}, fmt.Errorf("message of %d bytes says that it has %d", len(b), size)
	}
	m := Message{Order: binary.LittleEndian}
	if b[0] == 'B' {
		m.Order = binary.BigEndian
	}
	m.Type, m.Flags, m.Serial = MessageType(b[1]), Flags(b[2]), m.Order.Uint32(b[8:])
	end := FixedHeaderSize + int(m.Order.Uint32(b[12:]))
	body := (end + 7) &^ 7
	if err := m.parse(b[:end], b[0] == 'B'); err != nil {
		return Message{}, fmt.Errorf("header: %w", err)
	}
	if !allZero(b[end:body]) {
		return Message{}, errors.New("header: padding is not zero")
	}
	m.Body = b[body:]
	return m, nil
}

// parse reads the fields, which end where b does, and checks the whole header.
func (m *Message) parse(b []byte, big bool) error {
	f := fields{b: b, big: big}
	if err := f.parse(&m.Header); err != nil {
		return err
	}
	return m.check()
}

// Decoder gives a Decoder at the beginning of m's body.
func (m *Message) Decoder() Decoder {
	return newDecoder(m.Order == binary.BigEndian, m.Signature, m.Body, m.UnixFDs)
}

// allZero says whether b, a padding of less than 8 bytes, has only zeros.
func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
