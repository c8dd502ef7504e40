package schema

import (
	"bytes"
	"fmt"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// replacement stands for what a D-Bus string can't hold: NUL and bytes that
// are not UTF-8.
const replacement = "\uFFFD"

// Text returns JSON as a D-Bus string can hold it, for replies that are handed
// on as text: bytes that are not UTF-8 become U+FFFD. NUL can't occur, JSON has
// it only as \u0000. The result is json itself where nothing had to change.
func Text(json []byte) []byte {
	if utf8.Valid(json) {
		return json
	}
	return bytes.ToValidUTF8(json, []byte(replacement))
}

// AppendString appends s to dst as a JSON string for QEMU. One that QEMU's parser
// would refuse, since it is no UTF-8 or has a noncharacter, is an
// [*ArgumentError] with that path; dst comes back as it was.
func AppendString(dst []byte, s, path string) ([]byte, error) {
	if r, found := noncharacter([]byte(s)); found {
		return dst, &ArgumentError{Path: path, Text: noncharacterFault(r)}
	}
	quoted, err := jsontext.AppendQuote(dst, s)
	if err != nil {
		return dst, &ArgumentError{Path: path, Text: "the string is not UTF-8"}
	}
	return quoted, nil
}

// appendUnquoted appends the content of a JSON string as a D-Bus string can
// hold it: NUL, bytes that are not UTF-8 and lone surrogates become U+FFFD.
func appendUnquoted(dst, quoted []byte) []byte {
	start := len(dst)
	dst, _ = jsontext.AppendUnquote(dst, quoted) // its only error here is what it replaced
	if bytes.IndexByte(dst[start:], 0) < 0 {
		return dst
	}
	clean := bytes.ReplaceAll(dst[start:], []byte{0}, []byte(replacement))
	return append(dst[:start], clean...)
}

// noncharacter returns the first code point in s that Unicode keeps from being
// a character: U+FDD0 to U+FDEF and the last two of each plane. QEMU's parser
// refuses them, D-Bus and JSON do not.
func noncharacter(s []byte) (r rune, found bool) {
	for i := 0; i < len(s); {
		if s[i] < utf8.RuneSelf {
			i++
			continue
		}
		r, size := utf8.DecodeRune(s[i:])
		if 0xFDD0 <= r && r <= 0xFDEF || r&0xFFFE == 0xFFFE {
			return r, true
		}
		i += size
	}
	return 0, false
}

// noncharacterFault is what to tell a caller whose string has r.
func noncharacterFault(r rune) string {
	return fmt.Sprintf("the string has the noncharacter %U, which QEMU refuses", r)
}
