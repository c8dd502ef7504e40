package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unsafe"
)

var (
	errPadding = errors.New("padding is not zero")
	errNoNUL   = errors.New("text does not end with NUL")
	errShort   = errors.New("value goes past the end")
	errBool    = errors.New("boolean is neither 0 nor 1")
	errNoValue = errors.New("no more values here")
	errBytes   = errors.New("bytes after the last value")
	errFD      = errors.New("index of a file descriptor that is not there")
)

// Decoder walks the values of one body. It is a value: make it where it is used,
// pass it on as a pointer; copying it (some 600 bytes) gives a second walk from the
// same place. It doesn't change the body, which must stay as it is meanwhile.
//
// The cursor is before a value: Kind tells its type code, the method of that type
// reads it and goes on to the next. The contents of containers are between Enter
// and Exit:
//
//	d.Enter() // a{sv}
//	for d.More() {
//		d.Enter() // {sv}
//		key := d.String()
//		d.Enter() // v
//		...
//		d.Exit()
//		d.Exit()
//	}
//	d.Exit()
//
// Every read validates what it reads. Errors stick: after the first, every read
// gives the zero value, Kind 0 and More false, so that loops end.
type Decoder struct {
	body  []byte
	root  string // the body's signature
	sig   string // the signature with the cursor: root, or that of a variant
	sigAt int    // where sig is in body, 0 if it is root
	at    int    // the cursor in sig
	step  int    // how far a basic value moves at: 0 in an array
	pos   int    // the cursor in body
	end   int    // of the innermost array, or of body
	fds   uint32
	depth int
	big   bool
	err   error
	stack [MaxDepth]entered
}

// entered is a container that has been entered: 8 bytes each, since a Decoder is a
// value with MaxDepth of them.
type entered struct {
	kind byte
	at   uint8  // the container's place in the signature that it is in
	size uint8  // a variant's: length of the signature that it is in
	back uint32 // an array's: end outside it; a variant's: sigAt outside it
}

// NewDecoder gives a Decoder for a body of that signature, of which the byte order
// is big-endian if order is binary.BigEndian, otherwise little-endian. fds is how
// many file descriptors came with it. The body has to be one (its first byte
// aligned to 8). An invalid signature is the Decoder's first error.
func NewDecoder(order binary.ByteOrder, signature string, body []byte, fds int) Decoder {
	d := newDecoder(order == binary.BigEndian, signature, body, uint32(max(fds, 0)))
	if err := ValidateSignature(signature); err != nil {
		d.fail(err)
	} else if len(body) > MaxMessage {
		d.fail(errMessageLong)
	}
	return d
}

// newDecoder gives a Decoder for a signature that is known to be valid.
func newDecoder(big bool, signature string, body []byte, fds uint32) Decoder {
	return Decoder{body: body, root: signature, sig: signature, step: 1, end: len(body), fds: fds, big: big}
}

// Err gives the first error.
func (d *Decoder) Err() error { return d.err }

// End leaves all containers, passes (and validates) all that is left, checks that
// the body ends with the last value and gives the first error.
func (d *Decoder) End() error {
	for d.depth > 0 && d.err == nil {
		d.Exit()
	}
	for d.Kind() != 0 {
		d.Skip()
	}
	if d.err == nil && d.pos != len(d.body) {
		d.fail(errBytes)
	}
	return d.err
}

// Kind gives the code of the type at the cursor: 'a', 'v', '(' for a struct, '{' for
// a dict entry, a basic type's own; 0 at the end of the container, or of the body,
// and after an error.
func (d *Decoder) Kind() byte {
	if d.at >= len(d.sig) || (d.step == 0 && d.pos >= d.end) {
		return 0
	}
	code := d.sig[d.at]
	if code == codeStructEnd || code == codeDictEnd {
		return 0
	}
	return code
}

// More says whether there is another value where the cursor is: an element of the
// array, a member of the struct or dict entry, the variant's value, the body's next.
func (d *Decoder) More() bool { return d.Kind() != 0 }

// Type gives the complete type at the cursor, as "a{sv}", or "" where Kind is 0.
func (d *Decoder) Type() string {
	if d.Kind() == 0 {
		return ""
	}
	t := d.sig[d.at:typeEnd(d.sig, d.at)]
	if d.sigAt == 0 {
		return t
	}
	return own(t)
}

// own gives a copy of a type that aliases a body; frequent types cost no memory.
func own(t string) string {
	const singles = "ybnqiuxtdsogvh"
	if len(t) == 1 {
		i := strings.IndexByte(singles, t[0])
		return singles[i : i+1]
	}
	switch t {
	case "a{sv}":
		return "a{sv}"
	case "as":
		return "as"
	case "av":
		return "av"
	case "ay":
		return "ay"
	case "aa{sv}":
		return "aa{sv}"
	}
	return strings.Clone(t)
}

// alias gives b as a string without copying. The string must not outlive the
// Decoder's call or, for the signature of a variant, the Decoder: the owner of the
// body may change it afterwards.
func alias(b []byte) string {
	return unsafe.String(unsafe.SliceData(b), len(b))
}

// fail keeps the first error and empties the walk, so that no more values are found.
func (d *Decoder) fail(err error) {
	if d.err != nil {
		return
	}
	d.err = fmt.Errorf("decode: byte %d: %w", d.pos, err)
	d.sig, d.at, d.depth = "", 0, 0
}
