package schema_test

import (
	"encoding/binary"
	"errors"
	"math"
	"strings"
	"testing"

	"qmp-dbus-bridge/schema"
	"qmp-dbus-bridge/schema/wire"
)

// words is a body as busctl takes it: signature, then values.
type words string

func (w words) decoder(t *testing.T) *wire.Decoder {
	t.Helper()
	parts := splitShell(string(w))
	return body(t, parts[0], func(e *wire.Encoder) { encodeWords(t, e, parts[0], parts[1:]) })
}

func TestAppendValue(t *testing.T) {
	for in, want := range map[words]string{
		"y 255":                              "255",
		"n -32768":                           "-32768",
		"q 65535":                            "65535",
		"i -2147483648":                      "-2147483648",
		"u 4294967295":                       "4294967295",
		"x -9223372036854775808":             "-9223372036854775808",
		"t 18446744073709551615":             "18446744073709551615",
		"b true":                             "true",
		"d 0.5":                              "0.5",
		"d 1":                                "1.0",
		"d -0":                               "-0.0",
		"d 1e300":                            "1e+300",
		"d 18446744073709551616":             "18446744073709552000.0",
		"s ''":                               `""`,
		`s a"\b`:                             `"a\"\\b"`,
		"s é😀":                               `"é😀"`,
		"o /a/b":                             `"/a/b"`,
		"g ''":                               "null",
		"v v v s x":                          `"x"`,
		"as 0":                               "[]",
		"as 2 a b":                           `["a","b"]`,
		"ay 2 1 2":                           "[1,2]",
		"av 2 s a ai 1 5":                    `["a",[5]]`,
		"a{sv} 0":                            "{}",
		"a{ss} 1 k w":                        `{"k":"w"}`,
		"a{sv} 2 b i 1 a a{sas} 1 '' 1 x":    `{"b":1,"a":{"":["x"]}}`,
		"aa{sv} 2 0 1 k v v b false":         `[{},{"k":false}]`,
		"v av 1 v a{sv} 1 x av 1 v g ''":     `[{"x":[null]}]`,
		"a{sa{sv}} 2 a 1 k i 1 b 1 k i 1":    `{"a":{"k":1},"b":{"k":1}}`,
		"a{sv} 1 id s 'https://x/<&>\u2028'": `{"id":"https://x/<&>` + "\u2028" + `"}`,
	} {
		got, err := schema.AppendValue([]byte("# "), in.decoder(t), "cmd")
		if string(got) != "# "+want || err != nil {
			t.Errorf("AppendValue(%s) = %s, %v, want %s", in, got, err, want)
		}
	}
}

func TestAppendStruct(t *testing.T) {
	d := body(t, "(sv(y))", func(e *wire.Encoder) {
		e.OpenStruct()
		e.String("a")
		e.OpenVariant("b")
		e.Bool(true)
		e.CloseVariant()
		e.OpenStruct()
		e.Byte(1)
		e.CloseStruct()
		e.CloseStruct()
	})
	if got, err := schema.AppendValue(nil, d, "cmd"); string(got) != `["a",true,[1]]` || err != nil {
		t.Errorf("AppendValue of a struct = %s, %v", got, err)
	}
}

func TestArgumentErrors(t *testing.T) {
	long := strings.Repeat("k", 64)
	for in, want := range map[words]string{
		"d NaN":                                    "cmd: NaN is not a JSON number",
		"a{sv} 1 file a{sv} 1 size d -Inf":         "cmd.file.size: -Inf is not a JSON number",
		"av 2 i 1 v av 1 g s":                      "cmd[1][0]: expected the empty signature for null, got the signature 's'",
		"a{sv} 1 a a{us} 0":                        "cmd.a: expected strings as keys, got D-Bus type 'a{us}'",
		"a{ov} 0":                                  "cmd: expected strings as keys, got D-Bus type 'a{ov}'",
		"as 2 x a\ufdd0":                           "cmd[1]: the string has the noncharacter U+FDD0, which QEMU refuses",
		"as 1 \U0010ffff":                          "cmd[0]: the string has the noncharacter U+10FFFF, which QEMU refuses",
		"a{sv} 1 \ufffe i 1":                       "cmd.\ufffe: the string has the noncharacter U+FFFE, which QEMU refuses",
		"a{sv} 1 a a{si} 3 x 1 y 2 x 3":            "cmd.a: key 'x' is there twice",
		"a{sv} 1 fd h 0":                           "cmd.fd: a file descriptor has no place here",
		words("a{sd} 1 " + long + " NaN"):          "cmd." + long + ": NaN is not a JSON number",
		words("a{sd} 1 " + long + "k NaN"):         "cmd." + long + "...: NaN is not a JSON number",
		words("a{sd} 1 " + long[1:] + "éxx NaN"):   "cmd." + long[1:] + "...: NaN is not a JSON number",
		words("a{sv} 2 a d NaN b d Inf"):           "cmd.a: NaN is not a JSON number",
		words("a{sv} 2 a a{ss} 2 c c c c a d NaN"): "cmd.a: key 'c' is there twice",
	} {
		got, err := schema.AppendValue([]byte("dst"), in.decoder(t), "cmd")
		argument, ok := errors.AsType[*schema.ArgumentError](err)
		if !ok || argument.Error() != want {
			t.Errorf("AppendValue(%s) = %v, want %s", in, err, want)
		}
		if string(got) != "dst" {
			t.Errorf("AppendValue(%s) leaves %q", in, got)
		}
	}
}

func TestAppendObject(t *testing.T) {
	for in, want := range map[words]string{
		"a{sv} 0":             "{}",
		"v v a{ss} 1 a b":     `{"a":"b"}`,
		"as 0":                "cmd: expected a dictionary, got D-Bus type 'as'",
		"v s x":               "cmd: expected a dictionary, got D-Bus type 's'",
		"a{iv} 0":             "cmd: expected strings as keys, got D-Bus type 'a{iv}'",
		"a{sv} 1 a v d NaN":   "cmd.a: NaN is not a JSON number",
		"a{sv} 2 a i 1 a i 1": "cmd: key 'a' is there twice",
	} {
		got, err := schema.AppendObject(nil, in.decoder(t), "cmd")
		if err != nil {
			got = []byte(err.Error())
		}
		if string(got) != want {
			t.Errorf("AppendObject(%s) = %s, want %s", in, got, want)
		}
	}
}

// The decoder is after the value afterwards.
func TestAppendPosition(t *testing.T) {
	d := body(t, "sa{sv}vu", func(e *wire.Encoder) {
		e.String("cmd")
		encodeWords(t, e, "a{sv}", splitShell("1 a s b"))
		encodeWords(t, e, "v", splitShell("v i 1"))
		e.Uint32(7)
	})
	root := d.String()
	if got, err := schema.AppendObject(nil, d, root); string(got) != `{"a":"b"}` || err != nil {
		t.Errorf("AppendObject = %s, %v", got, err)
	}
	if got, err := schema.AppendValue(nil, d, root); string(got) != "1" || err != nil {
		t.Errorf("AppendValue = %s, %v", got, err)
	}
	if got := d.Uint32(); got != 7 || d.End() != nil {
		t.Errorf("then %d, %v", got, d.Err())
	}
	if _, err := schema.AppendValue(nil, d, root); err == nil {
		t.Error("AppendValue at the end succeeds")
	}
}

// A body that isn't what it says is nobody's argument.
func TestAppendMalformed(t *testing.T) {
	for sig, body := range map[string]string{
		"s":     "\x01\x00\x00\x00\xff\x00",
		"a{sv}": "\x08\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00a\x00\x01s",
		"b":     "\x02\x00\x00\x00",
	} {
		d := wire.NewDecoder(binary.LittleEndian, sig, []byte(body), 0)
		_, err := schema.AppendValue(nil, &d, "cmd")
		if _, ok := errors.AsType[*schema.ArgumentError](err); ok || err == nil || !strings.HasPrefix(err.Error(), "cmd") {
			t.Errorf("AppendValue of a broken %s = %v", sig, err)
		}
	}
}

// 2 Mi tokens less some is what QEMU takes; an array of n bytes has 2n+1, and
// is counted as 2n+3.
func TestAppendTokens(t *testing.T) {
	const limit = (2<<20 - 64 - 3) / 2
	for n, ok := range map[int]bool{limit: true, limit + 1: false} {
		d := body(t, "ay", func(e *wire.Encoder) {
			e.OpenArray("y")
			for range n {
				e.Byte(0)
			}
			e.CloseArray()
		})
		if _, err := schema.AppendValue(nil, d, "cmd"); ok != (err == nil) || !ok && !errors.Is(err, wire.ErrLimit) {
			t.Errorf("%d values: %v, want success %v", n, err, ok)
		}
	}
}

// 64 MiB less one KiB is what QEMU takes.
func TestAppendSize(t *testing.T) {
	skipHuge(t)
	const limit = 64<<20 - 1<<10
	text := strings.Repeat("x", limit-1)
	for n, ok := range map[int]bool{limit - 2: true, limit - 1: false} {
		d := body(t, "s", func(e *wire.Encoder) { e.String(text[:n]) })
		if _, err := schema.AppendValue(nil, d, "cmd"); ok != (err == nil) || !ok && !errors.Is(err, wire.ErrLimit) {
			t.Errorf("%d bytes: %v, want success %v", n+2, err, ok)
		}
	}
}

func TestAppendDepth(t *testing.T) {
	for n, ok := range map[int]bool{64: true, 65: false} {
		variants := strings.Repeat("\x01v\x00", n-1) + "\x01y\x00\x07"
		d := wire.NewDecoder(binary.LittleEndian, "v", []byte(variants), 0)
		_, err := schema.AppendValue(nil, &d, "cmd")
		if ok != (err == nil) || !ok && !errors.Is(err, wire.ErrLimit) {
			t.Errorf("%d variants: %v, want success %v", n, err, ok)
		}
	}
}

// Every double that JSON can hold keeps its value and stays a double.
func TestDoubles(t *testing.T) {
	for _, f := range []float64{0, 1, -1, 0.1, 1e21, 1e20, 123456789012345680, math.MaxFloat64, math.SmallestNonzeroFloat64, math.Pi} {
		d := body(t, "d", func(e *wire.Encoder) { e.Double(f) })
		json, err := schema.AppendValue(nil, d, "cmd")
		if err != nil {
			t.Fatal(err)
		}
		back := body(t, "v", func(e *wire.Encoder) { err = schema.EncodeVariant(e, json) })
		back.Enter()
		if got := back.Double(); got != f || back.Err() != nil || err != nil {
			t.Errorf("%v became %s and then %v (%v, %v)", f, json, got, err, back.Err())
		}
	}
}

// TestAppendString quotes what QEMU's parser takes, and refuses the rest.
func TestAppendString(t *testing.T) {
	for s, want := range map[string]string{
		"":             `""`,
		"a\"\\\x00\n/": `"a\"\\\u0000\n/"`,
		"\ufffd\u2028": "\"\ufffd\u2028\"",
		"\ufdd0":       "qom-list.path: the string has the noncharacter U+FDD0, which QEMU refuses",
		"a\U0001ffff":  "qom-list.path: the string has the noncharacter U+1FFFF, which QEMU refuses",
		"a\xff":        "qom-list.path: the string is not UTF-8",
	} {
		json, err := schema.AppendString([]byte("x"), s, "qom-list.path")
		got := string(json)
		if err != nil && got == "x" {
			got += err.Error()
		}
		if got != "x"+want {
			t.Errorf("AppendString(%q) = %s, %v, want %s", s, json, err, want)
		}
	}
}
