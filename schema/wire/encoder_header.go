package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// The codes of the header fields.
const (
	fieldPath = iota + 1
	fieldInterface
	fieldMember
	fieldErrorName
	fieldReplySerial
	fieldDestination
	fieldSender
	fieldSignature
	fieldUnixFDs
	lastField = fieldUnixFDs
)

// fieldTypes holds the type of each header field.
const fieldTypes = "\x00osssussgu"

// Begin does a Reset and writes the header h, which it doesn't keep. The values of
// the body, whose types are h.Signature, are to follow.
func (e *Encoder) Begin(h *Header) {
	e.Reset()
	if err := h.checkSendable(); err != nil {
		e.fail(fmt.Errorf("header: %w", err))
		return
	}
	e.buf = append(e.buf, 'l', byte(h.Type), byte(h.Flags), protocolVersion, 0, 0, 0, 0)
	e.buf = binary.LittleEndian.AppendUint32(e.buf, h.Serial)
	e.buf = append(e.buf, 0, 0, 0, 0)
	e.fields(h)
	size := len(e.buf) - FixedHeaderSize
	if size > MaxArray {
		e.fail(errArrayLong)
		return
	}
	binary.LittleEndian.PutUint32(e.buf[FixedHeaderSize-4:], uint32(size))
	e.align(structAlignment)
	e.body = len(e.buf)
	e.fds = h.UnixFDs
	e.cur = scope{sig: h.Signature, step: 1, bound: true}
}

// checkSendable applies the rules for headers that only a sender has to keep.
func (h *Header) checkSendable() error {
	if h.Type > Signal {
		return fmt.Errorf("unknown message %v", h.Type)
	}
	if h.Flags&^knownFlags != 0 {
		return errors.New("unknown flags")
	}
	return h.check()
}

// fields writes the fields that h has.
func (e *Encoder) fields(h *Header) {
	e.textField(fieldPath, codeObjectPath, h.Path)
	e.textField(fieldInterface, codeString, h.Interface)
	e.textField(fieldMember, codeString, h.Member)
	e.textField(fieldErrorName, codeString, h.ErrorName)
	e.numberField(fieldReplySerial, h.ReplySerial)
	e.textField(fieldDestination, codeString, h.Destination)
	e.textField(fieldSender, codeString, h.Sender)
	if h.Signature != "" {
		e.align(structAlignment)
		e.buf = append(e.buf, fieldSignature, 1, codeSignature, 0, byte(len(h.Signature)))
		e.buf = append(append(e.buf, h.Signature...), 0)
	}
	e.numberField(fieldUnixFDs, h.UnixFDs)
}

func (e *Encoder) textField(field, code byte, value string) {
	if value == "" {
		return
	}
	e.align(structAlignment)
	e.buf = append(e.buf, field, 1, code, 0)
	e.buf = binary.LittleEndian.AppendUint32(e.buf, uint32(len(value)))
	e.buf = append(append(e.buf, value...), 0)
}

func (e *Encoder) numberField(field byte, value uint32) {
	if value == 0 {
		return
	}
	e.align(structAlignment)
	e.buf = append(e.buf, field, 1, 'u', 0)
	e.buf = binary.LittleEndian.AppendUint32(e.buf, value)
}
