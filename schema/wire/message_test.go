package wire_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"qmp-dbus-bridge/schema/wire"
)

// call is a header with every field that a method call can have.
func call() wire.Header {
	return wire.Header{
		Type: wire.MethodCall, Flags: wire.NoAutoStart, Serial: 0x01020304,
		Path: "/org/qemu/VM1", Interface: "org.qemu.VM1", Member: "Pause",
		Destination: "org.qemu.VM1", Sender: ":1.7", Signature: "", UnixFDs: 2,
	}
}

// encode gives the message of a header and a body.
func encode(t testing.TB, h wire.Header, body func(e *wire.Encoder)) []byte {
	t.Helper()
	var e wire.Encoder
	e.Begin(&h)
	if body != nil {
		body(&e)
	}
	b, err := e.Finish()
	if err != nil {
		t.Fatalf("encode: %v", err)
	}
	return b
}

// raw is a message written by hand, to break the rules in one place.
type raw struct {
	order  byte
	kind   byte
	serial uint32
	fields []byte // from byte 16 on, without the padding at the end
	pad    byte   // what the padding is made of
	body   []byte
}

func (r raw) bytes() []byte {
	var order binary.AppendByteOrder = binary.LittleEndian
	if r.order == 'B' {
		order = binary.BigEndian
	}
	b := []byte{r.order, r.kind, 0, 1}
	b = order.AppendUint32(b, uint32(len(r.body)))
	b = order.AppendUint32(b, r.serial)
	b = order.AppendUint32(b, uint32(len(r.fields)))
	b = append(b, r.fields...)
	for len(b)%8 != 0 {
		b = append(b, r.pad)
	}
	return append(b, r.body...)
}

// field appends a little-endian header field to fields.
func field(fields []byte, code byte, kind string, value any) []byte {
	fields = bytes.Clone(fields)
	for len(fields)%8 != 0 {
		fields = append(fields, 0)
	}
	fields = append(fields, code, byte(len(kind)))
	fields = append(append(fields, kind...), 0)
	switch value := value.(type) {
	case int:
		return binary.LittleEndian.AppendUint32(fields, uint32(value))
	case string:
		if kind == "g" {
			fields = append(fields, byte(len(value)))
		} else {
			fields = binary.LittleEndian.AppendUint32(fields, uint32(len(value)))
		}
		return append(append(fields, value...), 0)
	}
	panic("field of another type")
}

func TestParseMessageReadsWhatBeginWrites(t *testing.T) {
	headers := []wire.Header{
		call(),
		{Type: wire.MethodCall, Serial: 1, Path: "/", Member: "M"},
		{Type: wire.MethodReturn, Flags: wire.NoReplyExpected, Serial: 1, ReplySerial: 1 << 31},
		{Type: wire.Error, Serial: 1, ReplySerial: 2, ErrorName: "a.b", Destination: ":1.1"},
		{Type: wire.Signal, Serial: 1, Path: "/a", Interface: "a.b", Member: "c"},
		{Type: wire.MethodCall, Serial: 1, Path: "/" + strings.Repeat("a", 5000), Member: "M", Sender: ":1.1"},
	}
	for _, h := range headers {
		m, err := wire.ParseMessage(encode(t, h, nil))
		if err != nil {
			t.Fatalf("ParseMessage(%v): %v", h, err)
		}
		if diff := cmp.Diff(h, m.Header); diff != "" {
			t.Errorf("header (-want +got):\n%s", diff)
		}
		if len(m.Body) != 0 {
			t.Errorf("body of %d bytes", len(m.Body))
		}
	}
}

func TestParseMessageIgnoresTheUnknown(t *testing.T) {
	fields := field(nil, 5, "u", 9)
	fields = field(fields, 200, "s", "later")
	fields = field(fields, 200, "u", 1)
	r := raw{order: 'l', kind: 9, serial: 1, fields: field(fields, 6, "s", ":1.1")}
	b := r.bytes()
	b[2] = 0xff
	m, err := wire.ParseMessage(b)
	if err != nil {
		t.Fatal(err)
	}
	want := wire.Header{Type: 9, Flags: 0xff, Serial: 1, ReplySerial: 9, Destination: ":1.1"}
	if diff := cmp.Diff(want, m.Header); diff != "" {
		t.Errorf("header (-want +got):\n%s", diff)
	}
}

func TestParseMessageBigEndian(t *testing.T) {
	fields := []byte{5, 1, 'u', 0, 0, 0, 0, 9, 8, 1, 'g', 0, 1, 'q', 0}
	r := raw{order: 'B', kind: 2, serial: 3, fields: fields, body: []byte{1, 2}}
	m, err := wire.ParseMessage(r.bytes())
	if err != nil {
		t.Fatal(err)
	}
	want := wire.Header{Type: wire.MethodReturn, Serial: 3, ReplySerial: 9, Signature: "q"}
	if diff := cmp.Diff(want, m.Header); diff != "" {
		t.Errorf("header (-want +got):\n%s", diff)
	}
	d := m.Decoder()
	if got := d.Uint16(); got != 0x0102 || d.End() != nil {
		t.Errorf("Uint16() = %#x, End() = %v", got, d.End())
	}
}

func TestParseMessageRefuses(t *testing.T) {
	ok := field(nil, 5, "u", 9)
	path := field(field(nil, 1, "o", "/a"), 3, "s", "M")
	tests := []struct {
		name string
		r    raw
		want string
	}{
		{"type 0", raw{kind: 0, serial: 1, fields: ok}, "type is 0"},
		{"serial 0", raw{kind: 2, fields: ok}, "serial is 0"},
		{"call without member", raw{kind: 1, serial: 1, fields: path[:11]}, "without member"},
		{"call without path", raw{kind: 1, serial: 1, fields: field(nil, 3, "s", "M")}, "without path"},
		{"return without serial", raw{kind: 2, serial: 1, fields: path}, "without reply serial"},
		{"error without name", raw{kind: 3, serial: 1, fields: ok}, "without error name"},
		{"error without serial", raw{kind: 3, serial: 1, fields: field(nil, 4, "s", "a.b")}, "without reply serial"},
		{"signal without interface", raw{kind: 4, serial: 1, fields: path}, "without interface"},
		{"field 0", raw{kind: 2, serial: 1, fields: field(ok, 0, "u", 1)}, "field code 0"},
		{"field twice", raw{kind: 2, serial: 1, fields: field(ok, 5, "u", 9)}, "second of its kind"},
		{"field of a wrong type", raw{kind: 2, serial: 1, fields: field(nil, 5, "i", 9)}, "not of type"},
		{"field of two types", raw{kind: 2, serial: 1, fields: field(nil, 5, "uu", 9)}, "not of type"},
		{"reply serial 0", raw{kind: 2, serial: 1, fields: field(nil, 5, "u", 0)}, "serial is 0"},
		{"bad path", raw{kind: 2, serial: 1, fields: field(ok, 1, "o", "a")}, "invalid path"},
		{"local path", raw{kind: 2, serial: 1, fields: field(ok, 1, "o", "/org/freedesktop/DBus/Local")}, "invalid path"},
		{"bad interface", raw{kind: 2, serial: 1, fields: field(ok, 2, "s", "a")}, "invalid interface"},
		{"local interface", raw{kind: 2, serial: 1, fields: field(ok, 2, "s", "org.freedesktop.DBus.Local")}, "invalid interface"},
		{"bad member", raw{kind: 2, serial: 1, fields: field(ok, 3, "s", "a.b")}, "invalid member"},
		{"bad error name", raw{kind: 2, serial: 1, fields: field(ok, 4, "s", "a")}, "invalid error name"},
		{"bad destination", raw{kind: 2, serial: 1, fields: field(ok, 6, "s", ":1")}, "invalid destination"},
		{"bad sender", raw{kind: 2, serial: 1, fields: field(ok, 7, "s", "a")}, "invalid sender"},
		{"bad signature", raw{kind: 2, serial: 1, fields: field(ok, 8, "g", "a")}, "ends within a type"},
		{"empty name", raw{kind: 2, serial: 1, fields: field(ok, 6, "s", "")}, "empty name"},
		{"not UTF-8", raw{kind: 2, serial: 1, fields: field(ok, 3, "s", "\xff")}, "invalid member"},
		{"no NUL", raw{kind: 2, serial: 1, fields: dirty(path, len(path)-1)}, "does not end with NUL"},
		{"cut field", raw{kind: 2, serial: 1, fields: append(bytes.Clone(ok), 6)}, "not of type"},
		{"cut number", raw{kind: 2, serial: 1, fields: ok[:6]}, "past the end"},
		{"cut text", raw{kind: 2, serial: 1, fields: path[:len(path)-1]}, "past the end"},
		{"stray padding", raw{kind: 2, serial: 1, fields: append(bytes.Clone(path), 0)}, "past the end"},
		{"padding of fields", raw{kind: 4, serial: 1, fields: dirty(path, 11)}, "padding"},
		{"padding before the body", raw{kind: 1, serial: 1, fields: path, pad: 1}, "padding"},
		{"unknown field of no type", raw{kind: 2, serial: 1, fields: field(ok, 99, "", 1)}, "ends within a type"},
		{"unknown field, bad text", raw{kind: 2, serial: 1, fields: field(ok, 99, "s", "\xff")}, "not UTF-8"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.r.order = 'l'
			_, err := wire.ParseMessage(test.r.bytes())
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("ParseMessage = %v, want %q", err, test.want)
			}
		})
	}
}

// dirty gives b with b[at] set.
func dirty(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at] = 1
	return b
}

func TestMessageSize(t *testing.T) {
	fixed := func(order byte, body, fields uint32) []byte {
		var o binary.AppendByteOrder = binary.LittleEndian
		if order == 'B' {
			o = binary.BigEndian
		}
		b := o.AppendUint32([]byte{order, 1, 0, 1}, body)
		return o.AppendUint32(o.AppendUint32(b, 1), fields)
	}
	tests := []struct {
		name  string
		fixed []byte
		want  int
		limit bool
	}{
		{"little", fixed('l', 5, 3), 16 + 8 + 5, false},
		{"big", fixed('B', 5, 8), 16 + 8 + 5, false},
		{"largest", fixed('l', wire.MaxMessage-16, 0), wire.MaxMessage, false},
		{"one more", fixed('l', wire.MaxMessage-15, 0), 0, true},
		{"largest with padding", fixed('B', wire.MaxMessage-24, 1), wire.MaxMessage, false},
		{"one more with padding", fixed('B', wire.MaxMessage-23, 1), 0, true},
		{"most fields", fixed('l', 0, wire.MaxArray), wire.MaxArray + 16, false},
		{"more fields", fixed('l', 0, wire.MaxArray+1), 0, true},
		{"overflow", fixed('l', 1<<32-1, 1<<32-1), 0, true},
		{"order", fixed('b', 0, 0), 0, false},
		{"version", append([]byte{'l', 1, 0, 2}, fixed('l', 0, 0)[4:]...), 0, false},
		{"short", fixed('l', 0, 0)[:15], 0, false},
		{"empty", nil, 0, false},
	}
	for _, test := range tests {
		got, err := wire.MessageSize(test.fixed)
		if got != test.want || (err == nil) != (test.want != 0) || errors.Is(err, wire.ErrLimit) != test.limit {
			t.Errorf("%s: MessageSize = %d, %v, want %d", test.name, got, err, test.want)
		}
	}
}

func TestParseMessageWantsExactlyOne(t *testing.T) {
	b := encode(t, call(), nil)
	for _, b := range [][]byte{b[:len(b)-1], append(bytes.Clone(b), 0), nil} {
		if _, err := wire.ParseMessage(b); err == nil {
			t.Errorf("ParseMessage of %d bytes: no error", len(b))
		}
	}
}

// check decodes all of a message's body.
func check(m *wire.Message) error {
	d := m.Decoder()
	return d.End()
}

func TestMessageEnd(t *testing.T) {
	h := wire.Header{Type: wire.MethodReturn, Serial: 1, ReplySerial: 1, Signature: "as"}
	b := encode(t, h, func(e *wire.Encoder) {
		e.OpenArray("s")
		e.String("a")
		e.CloseArray()
	})
	m, err := wire.ParseMessage(b)
	if err != nil {
		t.Fatal(err)
	}
	if err := check(&m); err != nil {
		t.Errorf("End() = %v", err)
	}
	m.Body = append(bytes.Clone(m.Body), 0)
	if err := check(&m); err == nil {
		t.Error("End() with a byte too much: no error")
	}
	m.Signature = ""
	if err := check(&m); err == nil {
		t.Error("End() without a signature: no error")
	}
}

func TestParseMessageAllocatesOnlyItsStrings(t *testing.T) {
	b := encode(t, call(), nil)
	allocs := testing.AllocsPerRun(100, func() {
		if _, err := wire.ParseMessage(b); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > 1 {
		t.Errorf("ParseMessage: %v allocations, want 1", allocs)
	}
}
