package wire_test

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"

	"qmp-dbus-bridge/schema/wire"
)

// stricterHere lists what godbus takes and we refuse, by our error.
var stricterHere = []struct{ text, reason string }{
	{"padding is not zero", "godbus skips padding unseen; both buses disconnect its sender"},
	{"text does not end with NUL", "godbus skips the byte"},
	{"text is not UTF-8", "godbus checks text only when it encodes"},
	{"text has a NUL", "the same"},
	{"not an object path", "godbus checks only the header's path"},
	{"value goes past the end", "godbus lets an element run past the end of its array"},
	{"field goes past the end", "the same for the array of header fields"},
	{"bytes after the last value", "godbus ignores them"},
	{"second of its kind", "godbus keeps the last"},
	{"value is not of type", "godbus sees only the Go type of the last such field"},
	{"serial is 0", "godbus doesn't look, neither at that replied to"},
	{"empty name", "godbus checks neither destination nor sender"},
	{"invalid destination", "the same"},
	{"invalid sender", "the same"},
	{"invalid path \"/org/freedesktop/DBus/Local\"", "reserved; both buses disconnect its sender"},
	{"invalid interface \"org.freedesktop.DBus.Local\"", "the same"},
	{"file descriptor that is not there", "godbus leaves such an index as it is"},
	{"structs in each other", "godbus counts dict entries apart"},
}

// stricterThere lists what we take and godbus refuses, by its error.
var stricterThere = []struct{ text, reason string }{
	{"invalid flags", "unknown flags have to be ignored"},
	{"invalid message type", "unknown types have to be ignored"},
	{"invalid header", "unknown fields have to be ignored"},
	{"dbus: invalid type bool", "godbus has no dictionaries with keys of type b"},
	{"dbus: invalid type dbus.Signature", "nor of type g"},
	{"container depth limit", "godbus refuses an empty dictionary in 63 containers, for its missing entries"},
}

// known says whether err is in a table of differences.
func known(table []struct{ text, reason string }, err error) bool {
	for _, entry := range table {
		if strings.Contains(err.Error(), entry.text) {
			return true
		}
	}
	return false
}

func FuzzDecode(f *testing.F) {
	f.Add(encode(f, call(), nil))
	h := wire.Header{Type: wire.Signal, Serial: 1, Path: "/a", Interface: "a.b", Member: "c", Signature: nestedSignature}
	f.Add(encode(f, h, nested))
	f.Add(encode(f, wire.Header{Type: wire.Error, Serial: 1, ReplySerial: 1, ErrorName: "a.b", Signature: basicSignature, UnixFDs: 2}, basics))
	f.Add(raw{order: 'B', kind: 2, serial: 3, fields: []byte{5, 1, 'u', 0, 0, 0, 0, 9, 8, 1, 'g', 0, 1, 'q', 0}, body: []byte{1, 2}}.bytes())
	f.Add(raw{order: 'l', kind: 2, serial: 1, fields: field(field(nil, 5, "u", 9), 99, "v", "")}.bytes())
	for _, sig := range []string{"a{yv}", "a(yt)", "aas", "v", "a{s(dv)}", "aab", "ay"} {
		f.Add(raw{order: 'l', kind: 2, serial: 1, fields: field(field(nil, 5, "u", 9), 8, "g", sig), body: make([]byte, 24)}.bytes())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		size, err := wire.MessageSize(b)
		if err != nil || size > len(b) {
			return
		}
		b = b[:size]
		m, err := wire.ParseMessage(b)
		if err == nil {
			err = check(&m)
		}
		if err != nil && strings.Contains(err.Error(), "struct without members") {
			return // godbus takes (), and never comes to the end of an array of it
		}
		theirs, theirErr := dbus.DecodeMessage(bytes.NewReader(b))
		switch {
		case err != nil && theirErr != nil:
		case err != nil && !known(stricterHere, err):
			t.Fatalf("only we refuse this: %v", err)
		case err != nil:
		case theirErr != nil && !known(stricterThere, theirErr):
			t.Fatalf("only godbus refuses this: %v", theirErr)
		case theirErr != nil:
			if _, err := ourBody(&m); err != nil {
				t.Fatal(err)
			}
		default:
			compare(t, b, theirs)
		}
	})
}

// compare checks that we decode b as godbus did.
func compare(t *testing.T, b []byte, theirs *dbus.Message) {
	t.Helper()
	m, err := wire.ParseMessage(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(godbusHeader(theirs), m.Header); diff != "" {
		t.Fatalf("header (-godbus +ours):\n%s", diff)
	}
	ours, err := ourBody(&m)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "body (-godbus +ours)", godbusBody(theirs.Body), ours)
}

// same compares trees, and only those that differ by cmp, which is slow.
func same(t *testing.T, what string, want, got list) {
	t.Helper()
	if !reflect.DeepEqual(want, got) {
		t.Fatalf("%s:\n%s", what, cmp.Diff(want, got, cmp.AllowUnexported(variant{})))
	}
}

func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("\x04\x10\x01\x0d\x03abc\x04defghijklm"))
	f.Add([]byte("\x03\x13\x02\x00\x01\x0d\x0e\x0e\x02\x04\x04\x04\x04\x04\x10\x10\x10\x01\x02\x03\x03"))
	f.Add(bytes.Repeat([]byte("\x0d\x12\x0f\x11\x03\x02\x01\x08"), 40))
	f.Fuzz(func(t *testing.T, b []byte) {
		const enough = 2 << 10 // bytes; more only makes larger values of the same kinds
		s := source{b: b[:min(len(b), enough)], fds: 4}
		h := wire.Header{Type: wire.MethodReturn, Serial: 7, ReplySerial: 9, Destination: ":1.2", UnixFDs: s.fds}
		types := make([]string, s.below(5))
		for i := range types {
			types[i] = s.oneType(4)
			h.Signature += types[i]
		}
		if len(h.Signature) > wire.MaxSignature {
			return
		}
		roundTrip(t, h, types, &s)
	})
}

// roundTrip encodes values here and in godbus and decodes them in the other.
func roundTrip(t *testing.T, h wire.Header, types []string, s *source) {
	t.Helper()
	var body []any
	ours := encode(t, h, func(e *wire.Encoder) {
		for _, sig := range types {
			v := s.value(sig)
			body = append(body, v.Interface())
			write(e, sig, v)
		}
	})
	theirs, err := dbus.DecodeMessage(bytes.NewReader(ours))
	if err != nil {
		t.Fatalf("godbus refuses what we encode: %v", err)
	}
	compare(t, ours, theirs)
	same(t, "body through godbus (-sent +got)", godbusBody(body), godbusBody(theirs.Body))
	theirs.Body = body
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		var buf bytes.Buffer
		if err := theirs.EncodeTo(&buf, order); err != nil {
			t.Fatalf("godbus: %v", err)
		}
		compare(t, buf.Bytes(), theirs)
	}
}

func FuzzSignature(f *testing.F) {
	for _, sig := range []string{"", "a{sv}", "(ii)as", nestedSignature, "a", "()", "a{s", "aaa(a{y(v)})"} {
		f.Add(sig)
	}
	f.Fuzz(func(t *testing.T, sig string) {
		err := wire.ValidateSignature(sig)
		_, theirErr := dbus.ParseSignature(sig)
		if err == nil && theirErr != nil {
			t.Fatalf("only godbus refuses %q: %v", sig, theirErr)
		}
		var whole strings.Builder
		for first, rest := wire.SplitSignature(sig); first != ""; first, rest = wire.SplitSignature(rest) {
			whole.WriteString(first)
		}
		if whole.String() != sig {
			t.Fatalf("the types of %q are %q", sig, whole.String())
		}
	})
}
