package wire

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Byte reads a y.
func (d *Decoder) Byte() byte {
	if p := d.fixed('y', 1); p >= 0 {
		return d.body[p]
	}
	return 0
}

// Bool reads a b.
func (d *Decoder) Bool() bool {
	p := d.fixed(codeBool, 4)
	if p < 0 {
		return false
	}
	n := d.load32(p)
	if n > 1 {
		d.pos = p
		d.fail(errBool)
	}
	return n == 1
}

// Int16 reads an n.
func (d *Decoder) Int16() int16 { return int16(d.uint16('n')) }

// Uint16 reads a q.
func (d *Decoder) Uint16() uint16 { return d.uint16('q') }

// Int32 reads an i.
func (d *Decoder) Int32() int32 { return int32(d.uint32('i')) }

// Uint32 reads a u.
func (d *Decoder) Uint32() uint32 { return d.uint32('u') }

// Int64 reads an x.
func (d *Decoder) Int64() int64 { return int64(d.uint64('x')) }

// Uint64 reads a t.
func (d *Decoder) Uint64() uint64 { return d.uint64('t') }

// Double reads a d.
func (d *Decoder) Double() float64 { return math.Float64frombits(d.uint64('d')) }

// UnixFD reads an h: an index into the file descriptors that came with the message,
// less than their number.
func (d *Decoder) UnixFD() uint32 {
	p := d.fixed(codeUnixFD, 4)
	if p < 0 {
		return 0
	}
	n := d.load32(p)
	if n >= d.fds {
		d.pos = p
		d.fail(errFD)
		return 0
	}
	return n
}

// String reads an s into a string of its own.
func (d *Decoder) String() string { return string(d.text(codeString)) }

// ObjectPath reads an o.
func (d *Decoder) ObjectPath() string { return string(d.text(codeObjectPath)) }

// Signature reads a g.
func (d *Decoder) Signature() string { return string(d.text(codeSignature)) }

// Bytes reads an s, o, g or ay without copying: the result aliases the body.
func (d *Decoder) Bytes() []byte {
	if kind := d.Kind(); kind == codeObjectPath || kind == codeSignature {
		return d.text(kind)
	} else if kind == codeArray && d.sig[d.at+1] == 'y' {
		return d.byteArray()
	}
	return d.text(codeString)
}

func (d *Decoder) uint16(code byte) uint16 {
	p := d.fixed(code, 2)
	if p < 0 {
		return 0
	}
	if d.big {
		return binary.BigEndian.Uint16(d.body[p:])
	}
	return binary.LittleEndian.Uint16(d.body[p:])
}

func (d *Decoder) uint32(code byte) uint32 {
	p := d.fixed(code, 4)
	if p < 0 {
		return 0
	}
	return d.load32(p)
}

func (d *Decoder) uint64(code byte) uint64 {
	p := d.fixed(code, 8)
	if p < 0 {
		return 0
	}
	if d.big {
		return binary.BigEndian.Uint64(d.body[p:])
	}
	return binary.LittleEndian.Uint64(d.body[p:])
}

func (d *Decoder) load32(p int) uint32 {
	if d.big {
		return binary.BigEndian.Uint32(d.body[p:])
	}
	return binary.LittleEndian.Uint32(d.body[p:])
}

// fixed goes past the value of a fixed type and gives its place, or -1.
func (d *Decoder) fixed(code byte, size int) int {
	p := (d.pos + size - 1) &^ (size - 1)
	if d.at >= len(d.sig) || d.sig[d.at] != code || p+size > d.end {
		d.refuse(code)
		return -1
	}
	if p != d.pos && !allZero(d.body[d.pos:p]) {
		d.fail(errPadding)
		return -1
	}
	d.pos = p + size
	d.at += d.step
	return p
}

// refuse fails because there is no whole value of that type at the cursor.
func (d *Decoder) refuse(code byte) {
	switch kind := d.Kind(); kind {
	case 0:
		d.fail(fmt.Errorf("type %q wanted: %w", code, errNoValue))
	case code:
		d.fail(errShort)
	default:
		d.fail(fmt.Errorf("type %q wanted where %q is", code, kind))
	}
}

// text goes past an s, o or g and gives its bytes, which are valid.
func (d *Decoder) text(code byte) []byte {
	sizeBytes := 4
	if code == codeSignature {
		sizeBytes = 1
	}
	p := (d.pos + sizeBytes - 1) &^ (sizeBytes - 1)
	if d.at >= len(d.sig) || d.sig[d.at] != code || p+sizeBytes > d.end {
		d.refuse(code)
		return nil
	}
	if p != d.pos && !allZero(d.body[d.pos:p]) {
		d.fail(errPadding)
		return nil
	}
	claimed := uint32(d.body[p])
	if sizeBytes == 4 {
		claimed = d.load32(p)
	}
	p += sizeBytes
	if int64(claimed) >= int64(d.end-p) {
		d.fail(errShort)
		return nil
	}
	size := int(claimed)
	b := d.body[p : p+size : p+size]
	if err := checkText(code, b, d.body[p+size]); err != nil {
		d.fail(err)
		return nil
	}
	d.pos = p + size + 1
	d.at += d.step
	return b
}

// checkText checks what an s, o or g holds, and the byte after it.
func checkText(code byte, b []byte, after byte) error {
	if after != 0 {
		return errNoNUL
	}
	switch code {
	case codeObjectPath:
		if !ValidPath(alias(b)) {
			return errNotPath
		}
	case codeSignature:
		return ValidateSignature(alias(b))
	default:
		return checkString(b)
	}
	return nil
}
