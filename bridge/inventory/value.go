package inventory

import (
	"math"
	"strings"
	"unicode/utf8"

	"qmp-dbus-bridge/schema/wire"
)

// MaxText bounds a text that a property shows, in bytes. A name given to QEMU is a few; the longest RunState has
// 14, and a QOM path of a device behind several bridges some 100.
const MaxText = 255

// MaxFile bounds the name of a file, in bytes: PATH_MAX of Linux. A node without a name of its own has its options there, as
// json:{...}.
const MaxFile = 4096

// Value is the value of a property whose type is s, b, u, t, x or d; the zero value is an empty text, false and 0.
// Values of one type can be compared by ==.
type Value struct {
	text string
	bits uint64
}

// Text is a value of type s. What D-Bus can't hold becomes U+FFFD, and of a text over MaxText the end is cut off.
func Text(s string) Value { return text(s, MaxText) }

// MaxPath bounds the path of an object in QOM, in bytes, where it names the object: one over it is left out, not cut off.
const MaxPath = 1024

// path is a value of type s that is a path in QOM, of at most MaxPath bytes.
func path(s string) Value { return text(s, MaxPath) }

// File is a value of type s that names a file, as Text but of at most MaxFile bytes.
func File(s string) Value { return text(s, MaxFile) }

func text(s string, most int) Value {
	if len(s) > most {
		s = s[:cut(s, most)]
	}
	return Value{text: strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", "\uFFFD"), "\uFFFD")}
}

// cut is where s, shortened to n bytes at most, ends with a whole character.
func cut(s string, n int) int {
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return n
}

// String is the text of a value of type s.
func (v Value) String() string { return v.text }

// Flag is a value of type b.
func Flag(b bool) Value {
	if b {
		return Value{bits: 1}
	}
	return Value{}
}

// Number is a value of type u or t.
func Number(n uint64) Value { return Value{bits: n} }

// Integer is a value of type x.
func Integer(n int64) Value { return Value{bits: uint64(n)} }

// Fraction is a value of type d.
func Fraction(f float64) Value { return Value{bits: math.Float64bits(f)} }

// Encode writes the value as one of that type.
func (v Value) Encode(e *wire.Encoder, signature string) {
	switch signature {
	case "b":
		e.Bool(v.bits != 0)
	case "u":
		e.Uint32(uint32(min(v.bits, math.MaxUint32)))
	case "t":
		e.Uint64(v.bits)
	case "x":
		e.Int64(int64(v.bits))
	case "d":
		e.Double(math.Float64frombits(v.bits))
	default: // the encoder refuses a text where another type is due
		e.String(v.text)
	}
}
