package schema_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"regexp"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"qmp-dbus-bridge/schema"
	"qmp-dbus-bridge/schema/wire"
)

// values are JSON texts to begin fuzzing with.
var values = []string{
	`null`, `true`, `-0`, `1e5`, `18446744073709551615`, `1e999`, `"a\u0000\ud800\n"`, `"\ufffe"`,
	`[]`, `{}`, `[1,[2.5,{"b":null,"a":[]}],"x"]`, `{"a":1,"a":2,"":{"b":[{}]}}`, statusReply,
	"{\"\xff\":\"\xfe\"}", `{"a":{"b":{"c":{"d":{"e":"f"}}}}}`,
}

var nulKey = regexp.MustCompile(`u0000[^"]*"\s*:`)

// What D-Bus can hold reaches godbus as it was, and comes back as it was.
func FuzzValue(f *testing.F) {
	for _, v := range values {
		f.Add([]byte(v))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if nulKey.Match(text) {
			t.Skip("two keys may become one, and which of them is last is not seen here")
		}
		var e wire.Encoder
		e.Begin(&wire.Header{
			Type: wire.MethodCall, Serial: 1, Path: "/", Member: "M", Signature: "v",
		})
		if err := schema.EncodeVariant(&e, text); err != nil {
			checkRefusal(t, text, err)
			return
		}
		message, err := e.Finish()
		if err != nil {
			t.Fatal(err)
		}
		checkGodbus(t, text, message)
		checkWayBack(t, text, message)
	})
}

// checkRefusal checks that only what is no JSON, or past a limit, is refused.
func checkRefusal(t *testing.T, text []byte, err error) {
	t.Helper()
	v := jsontext.Value(text)
	valid := v.IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if valid && !errors.Is(err, wire.ErrLimit) {
		t.Errorf("EncodeVariant(%q) = %v", text, err)
	}
}

func checkGodbus(t *testing.T, text, message []byte) {
	t.Helper()
	m, err := dbus.DecodeMessage(bytes.NewReader(message))
	if err != nil {
		t.Fatalf("godbus on %q: %v", text, err)
	}
	got := m.Body[0].(dbus.Variant)
	equal := cmp.Comparer(func(a, b dbus.Signature) bool { return a.String() == b.String() })
	if diff := cmp.Diff(expected(lenient(text)), got, cmp.AllowUnexported(dbus.Variant{}), equal, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("godbus on %q (-want +got):\n%s", text, diff)
	}
}

// lenient reads JSON as the contract for QEMU's replies says.
func lenient(text []byte) any {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil {
		panic(err)
	}
	return v
}

// expected is the D-Bus form of a JSON value as godbus has it.
func expected(v any) dbus.Variant {
	switch v := v.(type) {
	case nil:
		return dbus.MakeVariant(dbus.Signature{})
	case bool:
		return dbus.MakeVariant(v)
	case string:
		return dbus.MakeVariant(strings.ReplaceAll(v, "\x00", "\ufffd"))
	case json.Number:
		return expectedNumber(v)
	case []any:
		list := make([]dbus.Variant, len(v))
		for i, element := range v {
			list[i] = expected(element)
		}
		return dbus.MakeVariant(list)
	default:
		dict := make(map[string]dbus.Variant)
		for key, value := range v.(map[string]any) {
			dict[strings.ReplaceAll(key, "\x00", "\ufffd")] = expected(value)
		}
		return dbus.MakeVariant(dict)
	}
}

func expectedNumber(n json.Number) dbus.Variant {
	if !strings.ContainsAny(n.String(), ".eE") {
		if i, err := n.Int64(); err == nil {
			return dbus.MakeVariant(i)
		}
		var u uint64
		if json.Unmarshal([]byte(n), &u) == nil {
			return dbus.MakeVariant(u)
		}
	}
	f, _ := n.Float64()
	return dbus.MakeVariant(min(math.MaxFloat64, max(-math.MaxFloat64, f)))
}

// checkWayBack checks that the value comes back as QEMU wrote it, and that what
// came back goes the same way once more.
func checkWayBack(t *testing.T, text, message []byte) {
	t.Helper()
	m, err := wire.ParseMessage(message)
	if err != nil {
		t.Fatal(err)
	}
	d := m.Decoder()
	back, err := schema.AppendValue(nil, &d, "cmd")
	if err != nil {
		if !strings.Contains(err.Error(), "noncharacter") {
			t.Errorf("AppendValue of %q: %v", text, err)
		}
		return
	}
	if diff := cmp.Diff(expected(lenient(text)), expected(lenient(back)), cmp.AllowUnexported(dbus.Variant{}, dbus.Signature{})); diff != "" {
		t.Errorf("%q came back as %q (-want +got):\n%s", text, back, diff)
	}
}

// What is accepted is valid, means the same, and needs nothing done again.
func FuzzCanonical(f *testing.F) {
	for _, v := range values {
		f.Add([]byte(v))
		f.Add([]byte(`{ "arg" : ` + v + "}"))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := schema.Canonical(nil, text, "cmd")
		if err != nil {
			if _, ok := errors.AsType[*schema.ArgumentError](err); !ok && !errors.Is(err, wire.ErrLimit) {
				t.Errorf("Canonical(%q) = %v", text, err)
			}
			return
		}
		if !jsontext.Value(got).IsValid() || bytes.ContainsAny(got, "\n\ufffe\uffff") || got[0] != '{' {
			t.Errorf("Canonical(%q) = %q", text, got)
		}
		again, err := schema.Canonical(nil, got, "cmd")
		if !bytes.Equal(again, got) || err != nil {
			t.Errorf("Canonical(%q) = %q, %v", got, again, err)
		}
		if len(text) == 0 {
			return
		}
		if diff := cmp.Diff(lenient(text), lenient(got)); diff != "" {
			t.Errorf("Canonical(%q) = %q (-want +got):\n%s", text, got, diff)
		}
	})
}

// Whatever a caller sends, what comes out is JSON that QEMU's parser takes.
func FuzzArguments(f *testing.F) {
	for _, v := range values {
		var e wire.Encoder
		e.Reset()
		if schema.EncodeVariant(&e, []byte(v)) == nil {
			f.Add(false, "v", bytes.Clone(e.Bytes()))
		}
	}
	f.Add(false, "a{sv}", []byte("\x10\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00a\x00\x01u\x00\x00\x00\x00\x07\x00\x00\x00"))
	f.Add(true, "a{ss}(yoag)h", []byte("\x00\x00\x00\x00"))
	f.Add(false, "yad", []byte("\x01\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00\xf8\x7f"))
	f.Fuzz(func(t *testing.T, big bool, sig string, body []byte) {
		order := binary.ByteOrder(binary.LittleEndian)
		if big {
			order = binary.BigEndian
		}
		d := wire.NewDecoder(order, sig, body, 1)
		for d.More() {
			checkArguments(t, &d)
		}
	})
}

// checkArguments reads the value at d in both ways, which must agree.
func checkArguments(t *testing.T, d *wire.Decoder) {
	t.Helper()
	dict := *d
	object, objectErr := schema.AppendObject(nil, &dict, "cmd")
	got, err := schema.AppendValue(nil, d, "cmd")
	if err != nil {
		if objectErr == nil || len(got) > 0 {
			t.Errorf("AppendObject = %q, AppendValue = %q, %v", object, got, err)
		}
		d.Enter() // whatever is left: go on with the next, or end
		d.Exit()
		return
	}
	if objectErr == nil && !bytes.Equal(object, got) {
		t.Errorf("AppendObject = %q, AppendValue = %q", object, got)
	}
	wrapped := []byte(`{"a":` + string(got) + `}`)
	canonical, err := schema.Canonical(nil, wrapped, "cmd")
	if err != nil || !bytes.Equal(canonical, wrapped) {
		t.Errorf("%q is canonically %q, %v", wrapped, canonical, err)
	}
}
