package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// maxShared is up to how many bytes the header's strings are one copy; beyond, each
// has its own, so that one short string doesn't keep much memory.
const maxShared = 1 << 10

var errFieldEnd = errors.New("field goes past the end")

// fields reads the header fields, an a(yv) whose length is at byte 12, from b,
// which ends where they do. It knows how each field has to look and so needs no
// Decoder, but for unknown ones.
type fields struct {
	b    []byte
	big  bool
	text string // copy of b if that is small
	seen uint16 // bits of the fields that were there
}

// parse reads all fields into h.
func (f *fields) parse(h *Header) error {
	if len(f.b) <= maxShared {
		f.text = string(f.b)
	}
	for at := FixedHeaderSize; at < len(f.b); {
		start := (at + 7) &^ 7
		if start >= len(f.b) {
			return errFieldEnd
		}
		if !allZero(f.b[at:start]) {
			return errPadding
		}
		end, err := f.field(h, start)
		if err != nil {
			return fmt.Errorf("field %d at byte %d: %w", f.b[start], start, err)
		}
		at = end
	}
	return nil
}

// field reads the field at b[at] into h and gives its end.
func (f *fields) field(h *Header, at int) (int, error) {
	code := f.b[at]
	if code == 0 {
		return 0, errors.New("field code 0")
	}
	if code > lastField {
		return f.unknown(at)
	}
	if f.seen&(1<<code) != 0 {
		return 0, errors.New("second of its kind")
	}
	f.seen |= 1 << code
	kind := fieldTypes[code]
	if at+4 > len(f.b) || f.b[at+1] != 1 || f.b[at+2] != kind || f.b[at+3] != 0 {
		return 0, fmt.Errorf("value is not of type %q", kind)
	}
	if kind == 'u' {
		return f.number(h, code, at+4)
	}
	return f.string(h, code, kind, at+4)
}

// number reads the value at b[at] of a field of type u.
func (f *fields) number(h *Header, code byte, at int) (int, error) {
	if at+4 > len(f.b) {
		return 0, errFieldEnd
	}
	n := f.uint32(at)
	switch {
	case code == fieldUnixFDs:
		h.UnixFDs = n
	case n == 0:
		return 0, errors.New("reply serial is 0")
	default:
		h.ReplySerial = n
	}
	return at + 4, nil
}

// string reads the value at b[at] of a field of type s, o or g.
func (f *fields) string(h *Header, code, kind byte, at int) (int, error) {
	claimed := uint32(0)
	switch {
	case at+4 <= len(f.b) && kind != codeSignature:
		claimed = f.uint32(at)
		at += 4
	case at < len(f.b) && kind == codeSignature:
		claimed = uint32(f.b[at])
		at++
	default:
		return 0, errFieldEnd
	}
	if int64(claimed) >= int64(len(f.b)-at) {
		return 0, errFieldEnd
	}
	size := int(claimed)
	if f.b[at+size] != 0 {
		return 0, errNoNUL
	}
	if size == 0 && kind != codeSignature {
		return 0, errors.New("empty name")
	}
	h.set(code, f.slice(at, at+size))
	return at + size + 1, nil
}

// set gives h the value of a field that is a string. What makes it valid is checked
// once all fields are known.
func (h *Header) set(code byte, value string) {
	switch code {
	case fieldPath:
		h.Path = value
	case fieldInterface:
		h.Interface = value
	case fieldMember:
		h.Member = value
	case fieldErrorName:
		h.ErrorName = value
	case fieldDestination:
		h.Destination = value
	case fieldSender:
		h.Sender = value
	case fieldSignature:
		h.Signature = value
	}
}

// unknown passes the field at b[at], which still has to be valid.
func (f *fields) unknown(at int) (int, error) {
	d := newDecoder(f.big, "a(yv)", f.b, 0)
	d.pos = FixedHeaderSize - 4 // the size of the array
	d.Enter()
	d.pos = at
	d.Skip()
	return d.pos, d.err
}

// slice gives a copy of b[from:to].
func (f *fields) slice(from, to int) string {
	if f.text != "" {
		return f.text[from:to]
	}
	return string(f.b[from:to])
}

func (f *fields) uint32(at int) uint32 {
	if f.big {
		return binary.BigEndian.Uint32(f.b[at:])
	}
	return binary.LittleEndian.Uint32(f.b[at:])
}
