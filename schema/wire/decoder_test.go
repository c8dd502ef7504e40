package wire_test

import (
	"encoding/binary"
	"errors"
	"math"
	"strings"
	"testing"

	"qmp-dbus-bridge/schema/wire"
)

// basics writes one value of each basic type.
const basicSignature = "ybnqiuxtdsogh"

func basics(e *wire.Encoder) {
	e.Byte(0xfe)
	e.Bool(true)
	e.Int16(-2)
	e.Uint16(0xfffe)
	e.Int32(math.MinInt32)
	e.Uint32(math.MaxUint32)
	e.Int64(math.MinInt64)
	e.Uint64(math.MaxUint64)
	e.Double(math.Inf(-1))
	e.String("Grüße \U0010ffff")
	e.ObjectPath("/a")
	e.Signature("a{sv}u")
	e.UnixFD(1)
}

func TestDecoderReadsBasics(t *testing.T) {
	h := wire.Header{Type: wire.MethodReturn, Serial: 1, ReplySerial: 1, Signature: basicSignature, UnixFDs: 2}
	m, err := wire.ParseMessage(encode(t, h, basics))
	if err != nil {
		t.Fatal(err)
	}
	d := m.Decoder()
	got := []any{
		d.Byte(), d.Bool(), d.Int16(), d.Uint16(), d.Int32(), d.Uint32(), d.Int64(), d.Uint64(),
		d.Double(), d.String(), d.ObjectPath(), d.Signature(), d.UnixFD(),
	}
	want := []any{
		byte(0xfe), true, int16(-2), uint16(0xfffe), int32(math.MinInt32), uint32(math.MaxUint32),
		int64(math.MinInt64), uint64(math.MaxUint64), math.Inf(-1), "Grüße \U0010ffff", "/a", "a{sv}u", uint32(1),
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("value %d = %v, want %v", i, got[i], want[i])
		}
	}
	if d.More() || d.Kind() != 0 || d.Type() != "" {
		t.Errorf("at the end: More %v, Kind %q, Type %q", d.More(), d.Kind(), d.Type())
	}
	if err := d.End(); err != nil {
		t.Error(err)
	}
}

func TestDecoderBigEndian(t *testing.T) {
	body := []byte{
		0, 1, 0, 0, 0, 0, 0, 2, // q, padding, u
		0, 0, 0, 0, 0, 0, 0, 3, // t
		0x3f, 0xf8, 0, 0, 0, 0, 0, 0, // d
		0, 0, 0, 1, 'x', 0, 0, 0, // s, padding
		0, 0, 0, 4, 0xff, 0xff, 0xff, 0xfc, // ai
	}
	d := wire.NewDecoder(binary.BigEndian, "qutdsai", body, 0)
	q, u, v, f, s := d.Uint16(), d.Uint32(), d.Uint64(), d.Double(), d.String()
	d.Enter()
	i := d.Int32()
	d.Exit()
	if err := d.End(); err != nil {
		t.Fatal(err)
	}
	if q != 1 || u != 2 || v != 3 || f != 1.5 || s != "x" || i != -4 {
		t.Errorf("got %v %v %v %v %q %v", q, u, v, f, s, i)
	}
}

// nested writes containers in each other and values after each of them.
const nestedSignature = "a{sv}(yaa(u)s)vu"

func nested(e *wire.Encoder) {
	e.OpenArray("{sv}")
	for _, key := range []string{"one", "two"} {
		e.OpenDictEntry()
		e.String(key)
		e.OpenVariant("(xas)")
		e.OpenStruct()
		e.Int64(7)
		e.OpenArray("s")
		e.String(key)
		e.CloseArray()
		e.CloseStruct()
		e.CloseVariant()
		e.CloseDictEntry()
	}
	e.CloseArray()
	e.OpenStruct()
	e.Byte(1)
	e.OpenArray("a(u)")
	for range 2 {
		e.OpenArray("(u)")
		e.OpenStruct()
		e.Uint32(2)
		e.CloseStruct()
		e.CloseArray()
	}
	e.CloseArray()
	e.String("end")
	e.CloseStruct()
	e.OpenVariant("v")
	e.OpenVariant("at")
	e.OpenArray("t")
	e.CloseArray()
	e.CloseVariant()
	e.CloseVariant()
	e.Uint32(3)
}

func nestedMessage(t testing.TB) wire.Message {
	t.Helper()
	h := wire.Header{Type: wire.Signal, Serial: 1, Path: "/a", Interface: "a.b", Member: "c", Signature: nestedSignature}
	m, err := wire.ParseMessage(encode(t, h, nested))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// trace walks all that is left and writes down types and ends of containers.
func trace(d *wire.Decoder, b *strings.Builder) {
	for d.More() {
		b.WriteString(d.Type())
		switch d.Kind() {
		case 'a', '(', '{', 'v':
			b.WriteByte('<')
			d.Enter()
			trace(d, b)
			d.Exit()
			b.WriteByte('>')
		default:
			d.Skip()
			b.WriteByte(' ')
		}
	}
}

func TestDecoderWalksContainers(t *testing.T) {
	const entry = "{sv}<s v<(xas)<x as<s >>>>"
	const want = "a{sv}<" + entry + entry + ">(yaa(u)s)<y aa(u)<a(u)<(u)<u >>a(u)<(u)<u >>>s >v<v<at<>>>u "
	m := nestedMessage(t)
	d := m.Decoder()
	var b strings.Builder
	trace(&d, &b)
	if err := d.End(); err != nil {
		t.Fatal(err)
	}
	if b.String() != want {
		t.Errorf("walk = %s\nwant   %s", b.String(), want)
	}
}

func TestExitPassesTheRest(t *testing.T) {
	m := nestedMessage(t)
	d := m.Decoder()
	d.Enter() // a{sv}
	d.Enter() // {sv}
	if key := d.String(); key != "one" {
		t.Errorf("key = %q", key)
	}
	d.Enter() // v
	d.Exit()
	d.Exit()
	d.Exit() // leaves the second entry
	d.Enter()
	d.Exit() // leaves all of the struct
	d.Skip() // v
	if u := d.Uint32(); u != 3 || d.Err() != nil {
		t.Errorf("last value = %d, %v", u, d.Err())
	}
}

func TestEndLeavesEverything(t *testing.T) {
	m := nestedMessage(t)
	d := m.Decoder()
	d.Enter()
	d.Enter()
	if err := d.End(); err != nil {
		t.Errorf("End() = %v", err)
	}
	if d = m.Decoder(); d.End() != nil {
		t.Errorf("End() = %v", d.Err())
	}
}

func TestBytesAliases(t *testing.T) {
	body := []byte("\x01\x00\x00\x00x\x00\x00\x00\x02\x00\x00\x00ab\x01g\x00\x00\x00\x00\x02\x00\x00\x00/o\x00")
	d := wire.NewDecoder(binary.LittleEndian, "saygo", body, 0)
	s, ay, g, o := d.Bytes(), d.Bytes(), d.Bytes(), d.Bytes()
	if err := d.End(); err != nil {
		t.Fatal(err)
	}
	if string(s) != "x" || string(ay) != "ab" || string(g) != "g" || string(o) != "/o" {
		t.Errorf("Bytes = %q %q %q %q", s, ay, g, o)
	}
	if &s[0] != &body[4] || cap(s) != 1 || cap(ay) != 2 {
		t.Error("Bytes doesn't alias the body within its bounds")
	}
}

func TestDecoderRefuses(t *testing.T) {
	tests := []struct {
		name, signature, body, want string
	}{
		{"signature", "a", "", "ends within a type"},
		{"nothing", "y", "", "past the end"},
		{"rest", "y", "\x01\x02", "after the last value"},
		{"no signature", "", "\x01", "after the last value"},
		{"short number", "u", "\x01\x00\x00", "past the end"},
		{"bool", "b", "\x02\x00\x00\x00", "neither 0 nor 1"},
		{"bool in an array", "ab", "\x04\x00\x00\x00\x00\x01\x00\x00", "neither 0 nor 1"},
		{"padding", "yq", "\x01\x01\x01\x00", "padding"},
		{"padding of text", "ys", "\x01\x00\x01\x00\x00\x00\x00\x00\x00", "padding"},
		{"padding of a struct", "y(y)", "\x01\x00\x00\x00\x00\x00\x01\x00\x01", "padding"},
		{"padding of an empty array", "at", "\x00\x00\x00\x00\x00\x00\x00\x01", "padding"},
		{"no padding in an empty array", "at", "\x00\x00\x00\x00", "past the end"},
		{"text size", "s", "\x02\x00\x00\x00x\x00", "past the end"},
		{"text size, huge", "s", "\xff\xff\xff\xffx\x00", "past the end"},
		{"text end", "s", "\x01\x00\x00\x00xy", "does not end with NUL"},
		{"NUL", "s", "\x02\x00\x00\x00x\x00\x00", "has a NUL"},
		{"overlong", "s", "\x02\x00\x00\x00\xc0\x80\x00", "not UTF-8"},
		{"surrogate", "s", "\x03\x00\x00\x00\xed\xa0\x80\x00", "not UTF-8"},
		{"above Unicode", "s", "\x04\x00\x00\x00\xf4\x90\x80\x80\x00", "not UTF-8"},
		{"path", "o", "\x01\x00\x00\x00x\x00", "not an object path"},
		{"empty path", "o", "\x00\x00\x00\x00\x00", "not an object path"},
		{"signature value", "g", "\x01a\x00", "ends within a type"},
		{"signature end", "g", "\x01ss", "does not end with NUL"},
		{"signature size", "g", "\x03ss\x00", "past the end"},
		{"variant of nothing", "v", "\x00\x00", "ends within a type"},
		{"variant of two", "v", "\x02yy\x00\x01\x01", "not a single complete type"},
		{"variant of an entry", "v", "\x04{yy}\x00\x00\x00\x00\x01\x01", "dict entry outside"},
		{"variant without value", "v", "\x01y\x00", "past the end"},
		{"variant cut", "v", "\x01y", "past the end"},
		{"variant end", "v", "\x01yy\x01", "does not end with NUL"},
		{"empty", "v", "", "past the end"},
		{"array cut", "au", "\x04\x00\x00", "past the end"},
		{"array over the body", "ay", "\x02\x00\x00\x00\x01", "past the end"},
		{"array in half an element", "au", "\x06\x00\x00\x00\x01\x00\x00\x00\x01\x00", "past the end"},
		{"array cuts text", "as", "\x05\x00\x00\x00\x01\x00\x00\x00x\x00", "past the end"},
		{"array cuts a struct", "a(yy)", "\x01\x00\x00\x00\x00\x00\x00\x00\x01\x02", "past the end"},
		{"array with padding at the end", "a(y)", "\x02\x00\x00\x00\x00\x00\x00\x00\x01\x00", "past the end"},
		{"file descriptor", "h", "\x01\x00\x00\x00", "file descriptor"},
		{"file descriptor in an array", "ah", "\x04\x00\x00\x00\x01\x00\x00\x00", "file descriptor"},
	}
	for _, test := range tests {
		d := wire.NewDecoder(binary.LittleEndian, test.signature, []byte(test.body), 1)
		if err := d.End(); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
}

func TestDecoderRefusesMisuse(t *testing.T) {
	tests := []struct {
		name, want string
		use        func(d *wire.Decoder)
	}{
		{"another type", `type 'u' wanted where 'a' is`, func(d *wire.Decoder) { d.Uint32() }},
		{"another text", `type 'o' wanted where 'a' is`, func(d *wire.Decoder) { d.ObjectPath() }},
		{"past the array", "no more values", func(d *wire.Decoder) { d.Enter(); d.Byte(); d.Byte() }},
		{"skip past the array", "no more values", func(d *wire.Decoder) { d.Enter(); d.Byte(); d.Skip() }},
		{"past the body", "no more values", func(d *wire.Decoder) { d.Skip(); d.Byte() }},
		{"enter a number", "no container here", func(d *wire.Decoder) { d.Enter(); d.Enter() }},
		{"exit", "no container was entered", func(d *wire.Decoder) { d.Exit() }},
	}
	for _, test := range tests {
		d := wire.NewDecoder(binary.LittleEndian, "ay", []byte{1, 0, 0, 0, 9}, 0)
		test.use(&d)
		if err := d.Err(); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
}

func TestDecoderErrorsStick(t *testing.T) {
	m := nestedMessage(t)
	d := m.Decoder()
	d.Enter()
	_ = d.Uint32()
	first := d.Err()
	d.Enter()
	d.Exit()
	d.Skip()
	zero := d.Byte() == 0 && !d.Bool() && d.Uint16() == 0 && d.Uint32() == 0 && d.Uint64() == 0 &&
		d.String() == "" && d.UnixFD() == 0 && d.Bytes() == nil && d.Type() == "" && !d.More()
	if !zero {
		t.Error("a read after an error gives something")
	}
	if first == nil || !errors.Is(d.End(), first) {
		t.Errorf("End() = %v, want %v", d.Err(), first)
	}
}

func TestDecoderAllocatesNothing(t *testing.T) {
	m := nestedMessage(t)
	allocs := testing.AllocsPerRun(100, func() {
		if err := check(&m); err != nil {
			t.Fatal(err)
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}
