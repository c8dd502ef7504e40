package schema_test

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"qmp-dbus-bridge/schema"
	"qmp-dbus-bridge/schema/wire"
)

func TestEncodeVariant(t *testing.T) {
	for _, test := range []struct{ json, want string }{
		{`true`, `{"type":"b","data":true}`},
		{` [ 1 , "a" ] `, `{"type":"av","data":[{"type":"x","data":1},{"type":"s","data":"a"}]}`},
		{`-0`, `{"type":"x","data":0}`},
		{`9223372036854775807`, `{"type":"x","data":9223372036854775807}`},
		{`-9223372036854775808`, `{"type":"x","data":-9223372036854775808}`},
		{`18446744073709551615`, `{"type":"t","data":18446744073709551615}`},
		{`18446744073709551616`, `{"type":"d","data":1.8446744073709552e+19}`},
		{`-9223372036854775809`, `{"type":"d","data":-9.223372036854776e+18}`},
		{`1.0`, `{"type":"d","data":1}`},
		{`1e999`, `{"type":"d","data":1.7976931348623157e+308}`},
		{`-1e999`, `{"type":"d","data":-1.7976931348623157e+308}`},
		{`"\u00e9\n\/"`, `{"type":"s","data":"é\n/"}`},
		{`"a\u0000b"`, `{"type":"s","data":"a\ufffdb"}`},
		{`"\ud800"`, `{"type":"s","data":"\ufffd"}`},
		{`"\ud83d\ude00"`, `{"type":"s","data":"😀"}`},
		{`"\ufffe"`, `{"type":"s","data":"\ufffe"}`},
		{"\"a\xffb\"", `{"type":"s","data":"a\ufffdb"}`},
		{`{"a":{"b":null}}`, `{"type":"a{sv}","data":{"a":{"type":"a{sv}","data":{"b":{"type":"g","data":""}}}}}`},
		{`{"a":1,"a":2}`, `{"type":"a{sv}","data":{"a":{"type":"x","data":2}}}`},
		{`{"a\u0000":1,"a\ufffd":2}`, `{"type":"a{sv}","data":{"a\ufffd":{"type":"x","data":2}}}`},
	} {
		d := body(t, "v", func(e *wire.Encoder) {
			if err := schema.EncodeVariant(e, []byte(test.json)); err != nil {
				t.Errorf("EncodeVariant(%s): %v", test.json, err)
			}
		})
		if diff := cmp.Diff(unmarshal[any](t, []byte(test.want)), decodeTyped(d)); diff != "" {
			t.Errorf("EncodeVariant(%s) (-want +got):\n%s", test.json, diff)
		}
	}
}

func TestEncodeErrors(t *testing.T) {
	for _, json := range []string{``, ` `, `{`, `[1`, `"`, `{"a"}`, `{"a":}`, `[1,]`, `01`, `nul`, `1 2`, `{} x`, "\x00"} {
		var e wire.Encoder
		e.Reset()
		if err := schema.EncodeVariant(&e, []byte(json)); err == nil || errors.Is(err, wire.ErrLimit) {
			t.Errorf("EncodeVariant(%q) = %v", json, err)
		}
	}
}

// Keys are sorted, and each is there once.
func TestEncodeNames(t *testing.T) {
	for json, want := range map[string][]string{
		"{}":                                   nil,
		`{"b":1,"a":{"z":1,"y":2},"B":3,"":4}`: {"", "B", "a", "b"},
		`{"\u0062":1,"a":2,"b":3}`:             {"a", "b"},
	} {
		d := body(t, "v", func(e *wire.Encoder) {
			if err := schema.EncodeVariant(e, []byte(json)); err != nil {
				t.Errorf("EncodeVariant(%s): %v", json, err)
			}
		})
		d.Enter()
		if got := dictKeys(d); !slices.Equal(got, want) {
			t.Errorf("EncodeVariant(%s) has keys %q, want %q", json, got, want)
		}
	}
}

// D-Bus' depth: an array is a variant and an array, an object also an entry.
func TestEncodeDepth(t *testing.T) {
	for _, test := range []struct {
		json string
		ok   bool
	}{
		{strings.Repeat("[", 31) + "1" + strings.Repeat("]", 31), true},
		{strings.Repeat("[", 32) + strings.Repeat("]", 32), false},
		{strings.Repeat(`{"a":`, 20) + "[1]" + strings.Repeat("}", 20), true},
		{strings.Repeat(`{"a":`, 21) + "1" + strings.Repeat("}", 21), false},
		{strings.Repeat("[", 9999) + strings.Repeat("]", 9999), false},
	} {
		var e wire.Encoder
		e.Reset()
		if err := schema.EncodeVariant(&e, []byte(test.json)); test.ok != (err == nil) || !test.ok && !errors.Is(err, wire.ErrLimit) {
			t.Errorf("EncodeVariant(%.40s...) = %v, want success %v", test.json, err, test.ok)
		}
	}
}

// 4 Mi values are the limit of one text, the array itself being one of them.
func TestEncodeValues(t *testing.T) {
	skipHuge(t)
	const limit = 4 << 20
	json := []byte("[0" + strings.Repeat(",0", limit-2) + "]")
	var e wire.Encoder
	e.Reset()
	if err := schema.EncodeVariant(&e, json); err != nil {
		t.Errorf("%d values: %v", limit, err)
	}
	e.Reset()
	json = append(json[:len(json)-1], ",0]"...)
	if err := schema.EncodeVariant(&e, json); !errors.Is(err, wire.ErrLimit) {
		t.Errorf("%d values: %v", limit+1, err)
	}
}

// 128 MiB are the limit of a text; white space shows it without values.
func TestEncodeText(t *testing.T) {
	skipHuge(t)
	const limit = 128 << 20
	json := make([]byte, limit+1)
	for i := range json {
		json[i] = ' '
	}
	json[0] = '7'
	var e wire.Encoder
	e.Reset()
	if err := schema.EncodeVariant(&e, json[:limit]); err != nil {
		t.Errorf("%d bytes: %v", limit, err)
	}
	if err := schema.EncodeVariant(&e, json); !errors.Is(err, wire.ErrLimit) {
		t.Errorf("%d bytes: %v", limit+1, err)
	}
}

func TestText(t *testing.T) {
	for json, want := range map[string]string{
		`{"a":"\u0000é"}`:      `{"a":"\u0000é"}`,
		"\"\xff\xfe\xed\xa0\"": "\"\ufffd\"",
		"":                     "",
	} {
		got := schema.Text([]byte(json))
		if string(got) != want {
			t.Errorf("Text(%q) = %q, want %q", json, got, want)
		}
	}
}

// Nothing is allocated for each value: the schema has 31000 of them. Scratch is
// kept in a pool, which the collector may empty and the race detector does, and
// then grows by doubling; hence not zero.
func TestAllocations(t *testing.T) {
	const most = 64
	json := compactSchema(t, "qmp-schema-7.2.22-x86_64.json")
	var e wire.Encoder
	encode := func() {
		e.Reset()
		if err := schema.EncodeVariant(&e, json); err != nil {
			t.Fatal(err)
		}
	}
	if got := testing.AllocsPerRun(10, encode); got > most {
		t.Errorf("EncodeVariant: %v allocations, want at most %d", got, most)
	}
	dst := make([]byte, 0, 2*len(json))
	got := testing.AllocsPerRun(10, func() {
		d := wire.NewDecoder(binary.LittleEndian, "v", e.Bytes(), 0)
		if _, err := schema.AppendValue(dst, &d, "x"); err != nil {
			t.Fatal(err)
		}
	})
	if got > most {
		t.Errorf("AppendValue: %v allocations, want at most %d", got, most)
	}
}
