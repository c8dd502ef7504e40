package schema_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"qmp-dbus-bridge/schema"
	"qmp-dbus-bridge/schema/wire"
)

// scanned are JSON texts and what is nearly one, by their places in the grammar.
var scanned = []string{
	` [ 1 , 2 ] `, "\t{\r\n\"a\" : null }\n", `[true,false,null]`, `[]`, `{}`, `[[],{}]`, `""`,
	`0`, `-0`, `10`, `-1.5`, `1e5`, `1E+05`, `0.0e-0`, `1234567890123456789012345678901234567890`,
	`"\"\\\/\b\f\n\r\t"`, `"\u00e9\uABCD\uabcd"`, `"\ud83d\ude00 \ud83d \ude00"`, "\"é😀\x7f\"", "\"\xff\xc3\"", `"\u0000"`,

	``, ` `, `[`, `]`, `{`, `}`, `[1`, `[1,`, `[1,]`, `[,]`, `[1 2]`, `[1}`, `{"a":1]`, `[]]`, `{}{}`, `1 2`, `,`,
	`{"a"}`, `{"a":}`, `{"a":1,}`, `{,}`, `{a:1}`, `{1:1}`, `{"a" 1}`, `{"a"::1}`, `{"a":1 "b":2}`, `{"a":1,"b"`, `{"a":`,
	`t`, `tru`, `truE`, `truefalse`, `nul`, `nulll`, `fals`, `False`, `undefined`, `NaN`, `Infinity`,
	`-`, `--1`, `+1`, `01`, `-01`, `1.`, `.5`, `1.e5`, `1e`, `1e+`, `1e5.`, `0x1`, `1a`, `1_0`, `٣`,
	`"`, `"a`, `"\`, `"\"`, `"\x"`, `"\u"`, `"\u12"`, `"\u123"`, `"\u123g"`, `"\U0000"`, `'a'`, "\"\n\"", "\"\x00\"", "\"\x1f\"", "\x00", "[\x00]", "\ufeff1", "1\x00",
}

func TestScan(t *testing.T) {
	for _, text := range scanned {
		checkScan(t, []byte(text))
	}
}

// What is JSON by jsontext is JSON here, and nothing else.
func FuzzScan(f *testing.F) {
	for _, text := range append(scanned, values...) {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) { checkScan(t, text) })
}

func checkScan(t *testing.T, text []byte) {
	t.Helper()
	var e wire.Encoder
	e.Reset()
	err := schema.EncodeVariant(&e, text)
	if errors.Is(err, wire.ErrLimit) {
		return
	}
	valid := jsontext.Value(text).IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if (err == nil) != valid {
		t.Errorf("EncodeVariant(%q) = %v; by jsontext it is valid: %v", text, err, valid)
	}
}

// A text that is cut off says so, another one where it stops being JSON.
func TestScanErrors(t *testing.T) {
	for _, text := range []string{`{"a":"b"`, `[1,`, `"a`, `-`} {
		if err := encodeText(text); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: %v, want that the end is missing", text, err)
		}
	}
	for text, want := range map[string]string{`[1;2]`: "';' can't be at byte 2", `[tru]`: "'t' can't be at byte 1", `[] []`: "goes on"} {
		if err := encodeText(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func encodeText(text string) error {
	var e wire.Encoder
	e.Reset()
	return schema.EncodeVariant(&e, []byte(text))
}

// As many containers in each other as QEMU reads are a value, which is only too deep for
// D-Bus, and one more is too deep for a text.
func TestScanDepth(t *testing.T) {
	command := tableOf(t, "x-nothing", "object{}", "object{}").Command("x-nothing")
	for depth, want := range map[int]error{1023: nil, 1024: wire.ErrLimit} {
		text := fmt.Sprintf(`{"a":%s}`, strings.Repeat("[", depth)+strings.Repeat("]", depth))
		var e wire.Encoder
		e.Reset()
		if m, err := command.EncodeResult(&e, []byte(text)); !errors.Is(err, want) || err == nil && m.Count != 1 {
			t.Errorf("%d arrays in an object: %v, %v, want %v", depth, m, err, want)
		}
	}
}
