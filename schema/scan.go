package schema

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"qmp-dbus-bridge/schema/wire"
)

// maxDepth is how many containers a JSON text may have in each other, as many as
// QEMU itself takes (MAX_NESTING in its json-streamer.c). D-Bus has room for far fewer.
const maxDepth = 1 << 10

// scan indexes the text, which is one JSON value as RFC 8259 has it, except that its
// strings may hold any bytes from 0x20 on. It is a parser of its own because it is the
// half of the time that a large reply takes: jsontext, which it is tested against, takes
// five times as long.
//
// Each scan function below gets where something begins in the text and returns where
// that ends.
func (d *document) scan() error {
	end, err := d.scanValue(d.skipBlanks(0), 0)
	if err != nil {
		return err
	}
	if d.skipBlanks(end) < len(d.text) {
		return errors.New("JSON text goes on after its value")
	}
	return nil
}

func (d *document) scanValue(at, depth int) (end int, err error) {
	switch c := d.byteAt(at); c {
	case '"':
		return d.scanString(at)
	case '{', '[':
		return d.scanContainer(at, depth)
	case 't':
		return d.scanLiteral(at, "true")
	case 'f':
		return d.scanLiteral(at, "false")
	case 'n':
		return d.scanLiteral(at, "null")
	default:
		return d.scanNumber(at)
	}
}

// scanContainer indexes an object or array in as many others as depth says.
func (d *document) scanContainer(at, depth int) (end int, err error) {
	if depth == maxDepth {
		return at, fmt.Errorf("JSON text of more than %d containers in each other: %w", maxDepth, wire.ErrLimit)
	}
	open, kind := len(d.nodes), d.text[at]
	closing := kind + 2 // in ASCII, of both
	if err := d.add(node{kind: jsontext.Kind(kind)}); err != nil {
		return at, err
	}
	at = d.skipBlanks(at + 1)
	if d.byteAt(at) == closing {
		return at + 1, nil
	}
	for {
		if kind == '{' {
			if at, err = d.scanName(at); err != nil {
				return at, err
			}
		}
		if at, err = d.scanValue(at, depth+1); err != nil {
			return at, err
		}
		at = d.skipBlanks(at)
		switch d.byteAt(at) {
		case ',':
			at = d.skipBlanks(at + 1)
		case closing:
			d.nodes[open].next = uint32(len(d.nodes))
			return at + 1, nil
		default:
			return at, d.malformed(at)
		}
	}
}

// scanName indexes a member's name, and passes over the colon up to the value.
func (d *document) scanName(at int) (end int, err error) {
	if d.byteAt(at) != '"' {
		return at, d.malformed(at)
	}
	if at, err = d.scanString(at); err != nil {
		return at, err
	}
	if at = d.skipBlanks(at); d.byteAt(at) != ':' {
		return at, d.malformed(at)
	}
	return d.skipBlanks(at + 1), nil
}

func (d *document) scanString(at int) (end int, err error) {
	start, text := at+1, d.text
	for at = start; at < len(text) && isPlain[text[at]]; at++ {
	}
	if at < len(text) && text[at] == '"' {
		return at + 1, d.add(node{kind: jsontext.KindString, start: uint32(start), end: uint32(at)})
	}
	return d.scanOddString(start, at)
}

// isPlain tells what stands for itself in a string, and can't be a part of a character.
var isPlain = func() (plain [256]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		plain[c] = c != '"' && c != '\\'
	}
	return plain
}()

// scanOddString indexes a string whose content begins at start, and isn't plain at at.
func (d *document) scanOddString(start, at int) (end int, err error) {
	escaped := false
	for d.byteAt(at) != '"' {
		size := 1
		switch c := d.byteAt(at); {
		case c == '\\':
			escaped = true
			size = escapeSize(d.text[at:])
		case c < ' ': // also at the end of the text
			size = 0
		}
		if size == 0 {
			return at, d.malformed(at)
		}
		at += size
	}
	n := node{kind: jsontext.KindString, start: uint32(start), end: uint32(at)}
	if escaped || !utf8.Valid(d.text[start:at]) {
		n.spilled, n.start = true, uint32(len(d.spill))
		d.spill = appendUnquoted(d.spill, d.text[start-1:at+1])
		n.end = uint32(len(d.spill))
	}
	return at + 1, d.add(n)
}

// escapeSize returns how long the escape is that text begins with, 0 if it is none.
func escapeSize(text []byte) int {
	const short, long = len(`\n`), len(`\u0000`)
	if len(text) >= short && bytes.IndexByte([]byte(`"\/bfnrt`), text[1]) >= 0 {
		return short
	}
	if len(text) < long || text[1] != 'u' {
		return 0
	}
	for _, c := range text[short:long] {
		if !isDigit(c) && !('a' <= c|0x20 && c|0x20 <= 'f') {
			return 0
		}
	}
	return long
}

func (d *document) scanLiteral(at int, literal string) (end int, err error) {
	end = min(at+len(literal), len(d.text))
	if string(d.text[at:end]) != literal {
		return at, d.malformed(at)
	}
	return end, d.add(node{kind: jsontext.Kind(literal[0])})
}

func (d *document) scanNumber(at int) (end int, err error) {
	start := at
	if d.byteAt(at) == '-' {
		at++
	}
	whole := at
	at = d.skipDigits(at)
	ok := at > whole && (d.text[whole] != '0' || at == whole+1)
	if d.byteAt(at) == '.' {
		fraction := at + 1
		at = d.skipDigits(fraction)
		ok = ok && at > fraction
	}
	if c := d.byteAt(at); c == 'e' || c == 'E' {
		at++
		if c := d.byteAt(at); c == '+' || c == '-' {
			at++
		}
		exponent := at
		at = d.skipDigits(exponent)
		ok = ok && at > exponent
	}
	if !ok {
		return at, d.malformed(at)
	}
	return at, d.add(node{kind: jsontext.KindNumber, start: uint32(start), end: uint32(at)})
}

func (d *document) skipDigits(at int) int {
	for at < len(d.text) && isDigit(d.text[at]) {
		at++
	}
	return at
}

func (d *document) skipBlanks(at int) int {
	for at < len(d.text) {
		switch d.text[at] {
		case ' ', '\t', '\r', '\n':
			at++
		default:
			return at
		}
	}
	return at
}

// byteAt returns the byte there, or 0 at the end of the text, which no JSON has.
func (d *document) byteAt(at int) byte {
	if at < len(d.text) {
		return d.text[at]
	}
	return 0
}

// malformed says that JSON can't be like this there.
func (d *document) malformed(at int) error {
	if at >= len(d.text) {
		return fmt.Errorf("JSON text: %w", io.ErrUnexpectedEOF)
	}
	return fmt.Errorf("JSON text: %q can't be at byte %d", d.text[at], at)
}
