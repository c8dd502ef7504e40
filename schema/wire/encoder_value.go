package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"unsafe"
)

var errNotPath = errors.New("not an object path")

// Byte writes a y.
func (e *Encoder) Byte(v byte) {
	if e.take('y') {
		e.buf = append(e.buf, v)
	}
}

// Bool writes a b.
func (e *Encoder) Bool(v bool) {
	if e.take(codeBool) {
		var n uint32
		if v {
			n = 1
		}
		e.put32(n)
	}
}

// Int16 writes an n.
func (e *Encoder) Int16(v int16) {
	if e.take('n') {
		e.put16(uint16(v))
	}
}

// Uint16 writes a q.
func (e *Encoder) Uint16(v uint16) {
	if e.take('q') {
		e.put16(v)
	}
}

// Int32 writes an i.
func (e *Encoder) Int32(v int32) {
	if e.take('i') {
		e.put32(uint32(v))
	}
}

// Uint32 writes a u.
func (e *Encoder) Uint32(v uint32) {
	if e.take('u') {
		e.put32(v)
	}
}

// Int64 writes an x.
func (e *Encoder) Int64(v int64) {
	if e.take('x') {
		e.put64(uint64(v))
	}
}

// Uint64 writes a t.
func (e *Encoder) Uint64(v uint64) {
	if e.take('t') {
		e.put64(v)
	}
}

// Double writes a d. Every value is allowed, also NaN and the infinities.
func (e *Encoder) Double(v float64) {
	if e.take('d') {
		e.put64(math.Float64bits(v))
	}
}

// UnixFD writes an h: the index of one of the file descriptors that go with the
// message, less than the UnixFDs of the header. After Reset every index is allowed.
func (e *Encoder) UnixFD(index uint32) {
	if !e.take(codeUnixFD) {
		return
	}
	if e.body != 0 && index >= e.fds {
		e.fail(fmt.Errorf("file descriptor %d of %d", index, e.fds))
		return
	}
	e.put32(index)
}

// String writes an s: UTF-8 without NUL.
func (e *Encoder) String(v string) {
	e.StringBytes(unsafe.Slice(unsafe.StringData(v), len(v)))
}

// StringBytes writes an s, as String does, and doesn't keep v.
func (e *Encoder) StringBytes(v []byte) {
	if !e.take(codeString) {
		return
	}
	if err := checkString(v); err != nil {
		e.fail(err)
		return
	}
	if e.room(len(v)) {
		e.put32(uint32(len(v)))
		e.buf = append(append(e.buf, v...), 0)
	}
}

// ObjectPath writes an o.
func (e *Encoder) ObjectPath(v string) {
	if !e.take(codeObjectPath) {
		return
	}
	if !ValidPath(v) {
		e.fail(errNotPath)
		return
	}
	if e.room(len(v)) {
		e.put32(uint32(len(v)))
		e.buf = append(append(e.buf, v...), 0)
	}
}

// Signature writes a g: a list of zero or more complete types.
func (e *Encoder) Signature(v string) {
	if !e.take(codeSignature) {
		return
	}
	if err := ValidateSignature(v); err != nil {
		e.fail(err)
		return
	}
	e.putSignature(v)
}

// room says whether n bytes and a few more fit in a message, so that a text too
// large fails before it is copied.
func (e *Encoder) room(n int) bool {
	if n > MaxMessage-len(e.buf) {
		e.fail(errMessageLong)
		return false
	}
	return true
}

func (e *Encoder) put16(v uint16) {
	e.align(2)
	e.buf = binary.LittleEndian.AppendUint16(e.buf, v)
}

func (e *Encoder) put32(v uint32) {
	e.align(4)
	e.buf = binary.LittleEndian.AppendUint32(e.buf, v)
}

func (e *Encoder) put64(v uint64) {
	e.align(8)
	e.buf = binary.LittleEndian.AppendUint64(e.buf, v)
}

func (e *Encoder) putSignature(v string) {
	e.buf = append(e.buf, byte(len(v)))
	e.buf = append(append(e.buf, v...), 0)
}
