package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"unicode/utf8"
)

var (
	errNotUTF8 = errors.New("text is not UTF-8")
	errNUL     = errors.New("text has a NUL")
)

// checkString says why text can't be an s, if it can't.
func checkString(text []byte) error {
	switch {
	case isPlain(text):
		return nil
	case !utf8.Valid(text):
		return errNotUTF8
	case bytes.IndexByte(text, 0) >= 0:
		return errNUL
	}
	return nil
}

// isPlain tells whether text is ASCII without NUL, as most is. Of eight bytes at a time no
// byte may have its highest bit then, neither as it is nor less 1.
func isPlain(text []byte) bool {
	const ones, highest = 0x0101010101010101, 0x8080808080808080
	for ; len(text) >= 8; text = text[8:] {
		word := binary.LittleEndian.Uint64(text)
		if (word|(word-ones))&highest != 0 {
			return false
		}
	}
	for _, c := range text {
		if c == 0 || c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
