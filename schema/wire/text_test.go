package wire_test

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
	"unicode/utf8"

	"qmp-dbus-bridge/schema/wire"
)

// Texts are checked eight bytes at a time, so an odd byte is put into each place of texts
// of each length around that: both directions take what is UTF-8 without NUL.
func TestTextByPlaces(t *testing.T) {
	for size := range 20 {
		for at := range size {
			for _, odd := range []string{"\x00", "\x01", "\x7f", "\x80", "\xff", "é", "\x01\x00", "\x80\x00"} {
				text := strings.Repeat("a", at) + odd + strings.Repeat("\x01", size-at-1)
				want := utf8.ValidString(text) && !strings.Contains(text, "\x00")
				var e wire.Encoder
				e.Reset()
				e.String(text)
				if got := e.Err() == nil; got != want {
					t.Errorf("String(%q): %v", text, e.Err())
				}
				body := append(binary.LittleEndian.AppendUint32(nil, uint32(len(text))), text+"\x00"...)
				d := wire.NewDecoder(binary.LittleEndian, "s", body, 0)
				if got := bytes.Equal(d.Bytes(), []byte(text)) && d.Err() == nil; got != want {
					t.Errorf("a body with %q: %v", text, d.Err())
				}
			}
		}
	}
}
