package wire_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"qmp-dbus-bridge/schema/wire"
)

// reply is the header of a method return with a body of that signature.
func reply(signature string) *wire.Header {
	return &wire.Header{Type: wire.MethodReturn, Serial: 1, ReplySerial: 1, Signature: signature, UnixFDs: 1}
}

func TestEncoderWritesTheSpecificationsExample(t *testing.T) {
	var e wire.Encoder
	for _, s := range []string{"foo", "+", "bar"} {
		e.String(s)
	}
	got, err := e.Finish()
	const want = "\x03\x00\x00\x00foo\x00\x01\x00\x00\x00+\x00\x00\x00\x03\x00\x00\x00bar\x00"
	if err != nil || string(got) != want {
		t.Errorf("Finish() = %q, %v, want %q", got, err, want)
	}
}

func TestEncoderWritesMessages(t *testing.T) {
	h := wire.Header{Type: wire.MethodReturn, Flags: wire.NoReplyExpected, Serial: 2, ReplySerial: 3, Signature: "yav"}
	got := encode(t, h, func(e *wire.Encoder) {
		e.Byte(9)
		e.OpenArray("v")
		e.OpenVariant("t")
		e.Uint64(1)
		e.CloseVariant()
		e.CloseArray()
	})
	const want = "l\x02\x01\x01\x18\x00\x00\x00\x02\x00\x00\x00\x11\x00\x00\x00" +
		"\x05\x01u\x00\x03\x00\x00\x00" + "\x08\x01g\x00\x03yav\x00" + "\x00\x00\x00\x00\x00\x00\x00" +
		"\x09\x00\x00\x00\x10\x00\x00\x00\x01t\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00"
	if diff := cmp.Diff([]byte(want), got); diff != "" {
		t.Errorf("message (-want +got):\n%s", diff)
	}
}

func TestEncoderRefusesHeaders(t *testing.T) {
	tests := []struct {
		name, want string
		change     func(h *wire.Header)
	}{
		{"type 0", "type is 0", func(h *wire.Header) { h.Type = 0 }},
		{"type 5", "unknown message", func(h *wire.Header) { h.Type = 5 }},
		{"flags", "unknown flags", func(h *wire.Header) { h.Flags = 8 }},
		{"serial", "serial is 0", func(h *wire.Header) { h.Serial = 0 }},
		{"path", "invalid path", func(h *wire.Header) { h.Path = "a" }},
		{"no path", "without path", func(h *wire.Header) { h.Path = "" }},
		{"member", "invalid member", func(h *wire.Header) { h.Member = "a-b" }},
		{"interface", "invalid interface", func(h *wire.Header) { h.Interface = "a" }},
		{"destination", "invalid destination", func(h *wire.Header) { h.Destination = "a" }},
		{"sender", "invalid sender", func(h *wire.Header) { h.Sender = "a" }},
		{"error name", "invalid error name", func(h *wire.Header) { h.ErrorName = "a" }},
		{"signature", "signature", func(h *wire.Header) { h.Signature = "a" }},
		{"name", "exceeded", func(h *wire.Header) { h.Signature = strings.Repeat("y", 256) }},
	}
	for _, test := range tests {
		h := call()
		test.change(&h)
		var e wire.Encoder
		e.Begin(&h)
		if _, err := e.Finish(); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
}

func TestEncoderRefuses(t *testing.T) {
	tests := []struct {
		name, signature, want string
		write                 func(e *wire.Encoder)
	}{
		{"NUL", "s", "NUL", func(e *wire.Encoder) { e.String("a\x00") }},
		{"NUL in bytes", "s", "NUL", func(e *wire.Encoder) { e.StringBytes([]byte("a\x00")) }},
		{"not UTF-8", "s", "not UTF-8", func(e *wire.Encoder) { e.String("\xff") }},
		{"bytes not UTF-8", "s", "not UTF-8", func(e *wire.Encoder) { e.StringBytes([]byte("\xff")) }},
		{"path", "o", "not an object path", func(e *wire.Encoder) { e.ObjectPath("a") }},
		{"signature", "g", "signature", func(e *wire.Encoder) { e.Signature("a") }},
		{"file descriptor", "h", "file descriptor 1 of 1", func(e *wire.Encoder) { e.UnixFD(1) }},
		{"another type", "s", `type 'u' where signature "s" has "s"`, func(e *wire.Encoder) { e.Uint32(1) }},
		{"nothing", "su", `no value for "su"`, func(*wire.Encoder) {}},
		{"too little", "su", `no value for "u"`, func(e *wire.Encoder) { e.String("") }},
		{"too much", "s", "after the end", func(e *wire.Encoder) { e.String(""); e.String("") }},
		{"value without signature", "", "after the end", func(e *wire.Encoder) { e.Byte(1) }},
		{"another element", "as", `type 'u' where signature "as" has "s"`, func(e *wire.Encoder) { e.OpenArray("s"); e.Uint32(1) }},
		{"array of another type", "as", `array of "u"`, func(e *wire.Encoder) { e.OpenArray("u") }},
		{"array of half a type", "aas", `array of "a"`, func(e *wire.Encoder) { e.OpenArray("a") }},
		{"array of more", "ass", `array of "ss"`, func(e *wire.Encoder) { e.OpenArray("ss") }},
		{"array of nothing", "as", `array of ""`, func(e *wire.Encoder) { e.OpenArray("") }},
		{"array open", "as", "array not closed", func(e *wire.Encoder) { e.OpenArray("s") }},
		{"array closed as a struct", "as", "struct closed within array", func(e *wire.Encoder) { e.OpenArray("s"); e.CloseStruct() }},
		{"nothing to close", "as", "no container is open", func(e *wire.Encoder) { e.CloseArray() }},
		{"struct for an entry", "a{sv}", `type '('`, func(e *wire.Encoder) { e.OpenArray("{sv}"); e.OpenStruct() }},
		{"struct too short", "(su)", `struct closed before "u)"`, func(e *wire.Encoder) { e.OpenStruct(); e.String(""); e.CloseStruct() }},
		{"struct too long", "(s)", `where signature "(s)" has ")"`, func(e *wire.Encoder) { e.OpenStruct(); e.String(""); e.String("") }},
		{"entry without value", "a{sv}", "dict entry closed before", func(e *wire.Encoder) {
			e.OpenArray("{sv}")
			e.OpenDictEntry()
			e.String("")
			e.CloseDictEntry()
		}},
		{"entry within entry", "a{sv}", "dict entry closed", func(e *wire.Encoder) { e.OpenArray("{sv}"); e.OpenDictEntry(); e.CloseDictEntry() }},
		{"variant without value", "v", "closed without a value", func(e *wire.Encoder) { e.OpenVariant("s"); e.CloseVariant() }},
		{"variant of nothing", "v", "ends within a type", func(e *wire.Encoder) { e.OpenVariant("") }},
		{"variant of two", "v", "not a single", func(e *wire.Encoder) { e.OpenVariant("ss") }},
		{"variant of an entry", "v", "dict entry outside", func(e *wire.Encoder) { e.OpenVariant("{ss}") }},
		{"variant with another value", "v", `type 'u'`, func(e *wire.Encoder) { e.OpenVariant("s"); e.Uint32(1) }},
		{"variant with two values", "v", "after the end", func(e *wire.Encoder) { e.OpenVariant("s"); e.String(""); e.String("") }},
		{"not a variant", "s", `type 'v'`, func(e *wire.Encoder) { e.OpenVariant("s") }},
		{"not an array", "s", `type 'a'`, func(e *wire.Encoder) { e.OpenArray("s") }},
	}
	for _, test := range tests {
		var e wire.Encoder
		e.Begin(reply(test.signature))
		test.write(&e)
		b, err := e.Finish()
		if b != nil || err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %q, %v, want %q", test.name, b, err, test.want)
		}
	}
}

func TestEncoderBodyByItself(t *testing.T) {
	tests := []struct {
		name, want string
		write      func(e *wire.Encoder)
	}{
		{"anything", "", func(e *wire.Encoder) { e.Byte(1); e.String("a"); e.UnixFD(99); nested(e) }},
		{"struct", "", func(e *wire.Encoder) {
			e.OpenStruct()
			e.Byte(1)
			e.OpenArray("(s)")
			e.OpenStruct()
			e.String("")
			e.CloseStruct()
			e.CloseArray()
			e.CloseStruct()
		}},
		{"empty struct", "without members", func(e *wire.Encoder) { e.OpenStruct(); e.CloseStruct() }},
		{"stray entry", "dict entry outside", func(e *wire.Encoder) { e.OpenDictEntry() }},
		{"array", `type 'u'`, func(e *wire.Encoder) { e.OpenArray("s"); e.Uint32(1) }},
		{"array of two", "not a single", func(e *wire.Encoder) { e.OpenArray("ss") }},
		{"array of nothing", "ends within", func(e *wire.Encoder) { e.OpenArray("") }},
		{"entry in an array", "", func(e *wire.Encoder) { e.OpenArray("{sv}"); e.CloseArray() }},
	}
	for _, test := range tests {
		var e wire.Encoder
		e.Reset()
		test.write(&e)
		_, err := e.Finish()
		if test.want == "" && err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		if test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
}

func TestTypeInAVariant(t *testing.T) {
	for _, sig := range []string{"a{sv}", "as", "av", "ay", "aa{sv}", "a(ii)"} {
		var e wire.Encoder
		e.Begin(reply("v"))
		e.OpenVariant(sig)
		e.OpenArray(sig[1:])
		e.CloseArray()
		e.CloseVariant()
		b, err := e.Finish()
		if err != nil {
			t.Fatal(err)
		}
		m, err := wire.ParseMessage(b)
		if err != nil {
			t.Fatal(err)
		}
		d := m.Decoder()
		d.Enter()
		got := d.Type()
		clear(m.Body)
		if got != sig {
			t.Errorf("Type() = %q, want %q, also when the body is gone", got, sig)
		}
	}
}

func TestEncoderIsReusable(t *testing.T) {
	var e wire.Encoder
	e.Begin(reply("as"))
	e.OpenArray("s")
	e.Uint32(1)
	if e.Err() == nil {
		t.Fatal("no error")
	}
	e.Begin(reply("u"))
	e.Uint32(1)
	if _, err := e.Finish(); err != nil {
		t.Errorf("Finish() after Begin = %v", err)
	}
	h := reply(nestedSignature)
	allocs := testing.AllocsPerRun(100, func() {
		e.Begin(h)
		nested(&e)
		if _, err := e.Finish(); err != nil {
			t.Fatal(err)
		}
	})
	if allocs != 0 {
		t.Errorf("encoding: %v allocations", allocs)
	}
	if e.Len() != len(e.Bytes()) {
		t.Errorf("Len() = %d, Bytes() has %d", e.Len(), len(e.Bytes()))
	}
}
