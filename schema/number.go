package schema

import (
	"bytes"
	"math"
	"math/bits"
	"strconv"
	"unsafe"

	"github.com/go-json-experiment/json/jsontext"
)

// number is a JSON number as D-Bus knows it. Type says which field holds it.
type number struct {
	Type   byte // 'x', 't' or 'd'
	Int    int64
	Uint   uint64
	Double float64
}

// parseNumber reads a JSON number by what is written, so that an integer never
// goes through a float64. An integer is x, from 2^63 to 2^64-1 it is t, beyond
// that the nearest d; with a fraction or an exponent it is d. What is too large
// for d is the largest d, never an infinity. The lexeme is a valid JSON number.
func parseNumber(lexeme []byte) number {
	digits, negative := bytes.CutPrefix(lexeme, []byte("-"))
	u, ok := parseDigits(digits)
	switch {
	case ok && u <= math.MaxInt64 && negative:
		return number{Type: 'x', Int: -int64(u)}
	case ok && u <= math.MaxInt64:
		return number{Type: 'x', Int: int64(u)}
	case ok && u == 1<<63 && negative:
		return number{Type: 'x', Int: math.MinInt64}
	case ok && !negative:
		return number{Type: 't', Uint: u}
	}
	return number{Type: 'd', Double: parseDouble(lexeme)}
}

// parseDigits reads decimal digits; it reports false for anything else and for
// what does not fit. strconv would allocate an error for each number above
// 2^63, of which QEMU sends whole lists.
func parseDigits(digits []byte) (u uint64, ok bool) {
	for _, c := range digits {
		if !isDigit(c) {
			return 0, false
		}
		high, low := bits.Mul64(u, 10)
		sum, carry := bits.Add64(low, uint64(c-'0'), 0)
		if high != 0 || carry != 0 {
			return 0, false
		}
		u = sum
	}
	return u, true
}

func parseDouble(lexeme []byte) float64 {
	f, _ := strconv.ParseFloat(unsafe.String(unsafe.SliceData(lexeme), len(lexeme)), 64)
	return max(-math.MaxFloat64, min(f, math.MaxFloat64))
}

// isFinite reports whether a double can hold a JSON number, if not exactly.
func isFinite(lexeme []byte) bool {
	_, err := strconv.ParseFloat(unsafe.String(unsafe.SliceData(lexeme), len(lexeme)), 64)
	return err == nil
}

// isWord reports whether an integer fits into 64 bits, with a sign or without.
func isWord(lexeme []byte) bool {
	if _, err := strconv.ParseInt(string(lexeme), 10, 64); err == nil {
		return true
	}
	_, err := strconv.ParseUint(string(lexeme), 10, 64)
	return err == nil
}

// isInteger reports whether a JSON number has neither fraction nor exponent.
func isInteger(lexeme []byte) bool { return !bytes.ContainsAny(lexeme, ".eE") }

// appendDouble appends a finite double so that it reads as no integer: 1.0.
func appendDouble(dst []byte, f float64) []byte {
	start := len(dst)
	dst = jsontext.AppendFloat(dst, f, 64)
	if isInteger(dst[start:]) {
		dst = append(dst, ".0"...)
	}
	return dst
}
