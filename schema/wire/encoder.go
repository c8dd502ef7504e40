package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// errNoContainer says that a Close has no Open.
var errNoContainer = errors.New("no container is open")

// Encoder writes messages, or bodies by themselves, in little-endian order. It
// keeps its buffer and is made to be used again. The zero value is ready, as after
// Reset. It is for one goroutine.
//
// Errors stick: after the first, every method but Reset and Begin does
// nothing, and Finish gives the error.
//
// Every value has to be the next one of the signature that was announced: by the
// Header in Begin, by the element type in OpenArray, by the type in OpenVariant.
// After Reset nothing is announced, so at the outermost level, and in structs
// there, anything may be written.
type Encoder struct {
	buf   []byte
	err   error
	cur   scope
	depth int
	stack [MaxSendDepth]open
	body  int    // where the body begins in buf; 0 after Reset
	fds   uint32 // UnixFDs of the header
}

// scope is a place in a signature.
type scope struct {
	sig  string
	at   uint8
	step uint8 // how far one value moves at: 0 in an array, where its element stays
	// bound says that sig is what has to be written; otherwise anything may be.
	bound bool
}

// open is a container that has been opened.
type open struct {
	outer scope // the place after the container
	kind  byte
	size  uint32 // where the size of an array is
	start uint32 // where the contents begin
}

// Reset empties e, for a body by itself: no header, and no signature to follow at
// the outermost level.
func (e *Encoder) Reset() {
	e.buf = e.buf[:0]
	e.err = nil
	e.cur = scope{}
	e.depth = 0
	e.body = 0
	e.fds = 0
}

// Finish checks that all containers are closed and all values of the signature
// written, completes the header and gives the bytes, which alias e's buffer until
// the next Reset or Begin.
func (e *Encoder) Finish() ([]byte, error) {
	switch {
	case e.err != nil:
	case e.depth != 0:
		e.fail(fmt.Errorf("%s not closed", containerName(e.stack[e.depth-1].kind)))
	case e.cur.left() != 0:
		e.fail(fmt.Errorf("no value for %q of signature %q", e.cur.sig[e.cur.at:], e.cur.sig))
	case len(e.buf) > MaxMessage:
		e.fail(errMessageLong)
	}
	if e.err != nil {
		return nil, e.err
	}
	if e.body != 0 {
		binary.LittleEndian.PutUint32(e.buf[4:], uint32(len(e.buf)-e.body))
	}
	return e.buf, nil
}

// Err gives the first error since Reset or Begin.
func (e *Encoder) Err() error { return e.err }

// Len gives the number of bytes written, with the header.
func (e *Encoder) Len() int { return len(e.buf) }

// Bytes gives what has been written, with the header, whether it is complete or
// not. It aliases e's buffer.
func (e *Encoder) Bytes() []byte { return e.buf }

// left gives how many type codes are not written yet.
func (s *scope) left() int { return len(s.sig) - int(s.at) }

// take moves past a value of type code if that is what comes next.
func (e *Encoder) take(code byte) bool {
	if int(e.cur.at) < len(e.cur.sig) && e.cur.sig[e.cur.at] == code {
		e.cur.at += e.cur.step
		return true
	}
	return e.takeUnbound(code)
}

// takeUnbound allows a value where nothing was announced, and fails elsewhere.
func (e *Encoder) takeUnbound(code byte) bool {
	switch {
	case e.err != nil:
	case !e.cur.bound:
		return true
	case e.cur.left() == 0:
		e.fail(fmt.Errorf("value of type %q after the end of signature %q", code, e.cur.sig))
	default:
		e.fail(fmt.Errorf("value of type %q where signature %q has %q", code, e.cur.sig, e.cur.sig[e.cur.at:]))
	}
	return false
}

// fail keeps the first error and makes all that follows miss the signature.
func (e *Encoder) fail(err error) {
	if e.err == nil {
		e.err = fmt.Errorf("encode: byte %d: %w", len(e.buf), err)
		e.cur = scope{bound: true}
	}
}

// align writes the zero bytes before a value of that alignment.
func (e *Encoder) align(alignment int) {
	const zeros = "\x00\x00\x00\x00\x00\x00\x00"
	e.buf = append(e.buf, zeros[:-len(e.buf)&(alignment-1)]...)
}
