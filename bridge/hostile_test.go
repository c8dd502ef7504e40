package bridge_test

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"

	"qmp-dbus-bridge/qmp/qmptest"
)

func nested(depth int) string { return strings.Repeat("[", depth) + strings.Repeat("]", depth) }

// longText is a string that exceeds any buffer on the way.
var longText = strings.Repeat("0123456789abcdef", 1<<16)

// TestHostileReplies has QEMU return what no QEMU would. Call and CallJson give it, or an error
// with a reason; the bridge stays on the bus and serves others.
func TestHostileReplies(t *testing.T) {
	m := newMachine(t, nil)
	w := serve(t, m)
	c, other := w.as(admin), w.as(admin)
	for name, test := range map[string]struct {
		reply string
		want  any    // of Call
		err   string // of Call, instead
		text  string // of CallJson, where it is not reply
	}{
		"deep":             {reply: nested(64), err: ourError + "LimitsExceeded"},
		"deeper":           {reply: nested(5000), err: ourError + "LimitsExceeded"},
		"deep objects":     {reply: strings.Repeat(`{"a":`, 64) + "1" + strings.Repeat("}", 64), err: ourError + "LimitsExceeded"},
		"long string":      {reply: `"` + longText + `"`, want: longText},
		"long name":        {reply: `{"` + longText + `": 1}`, want: map[string]dbus.Variant{longText: dbus.MakeVariant(int64(1))}},
		"no UTF-8":         {reply: "\"a\xff\xc0\x80b\"", want: "a\uFFFD\uFFFD\uFFFDb", text: "\"a\uFFFDb\""},
		"surrogate":        {reply: `"\ud800"`, want: "\uFFFD"},
		"raw surrogate":    {reply: "\"\xed\xa0\x80\"", want: "\uFFFD\uFFFD\uFFFD", text: "\"\uFFFD\""},
		"NUL":              {reply: `"a\u0000b"`, want: "a\uFFFDb"},
		"NUL in a name":    {reply: `{"\u0000": true}`, want: map[string]dbus.Variant{"\uFFFD": dbus.MakeVariant(true)}},
		"noncharacter":     {reply: `"\ufffe\ufdd0"`, want: "\uFFFE\uFDD0"},
		"raw noncharacter": {reply: "\"\uFFFF\"", want: "\uFFFF"},
		"control":          {reply: `"\u001b[2J\n"`, want: "\x1b[2J\n"},
		"huge number":      {reply: "1e999", want: math.MaxFloat64},
		"huge negative":    {reply: "-1e999", want: -math.MaxFloat64},
		"2^64":             {reply: "18446744073709551616", want: 18446744073709551616.0},
		"2^64-1":           {reply: "18446744073709551615", want: uint64(math.MaxUint64)},
		"-2^63":            {reply: "-9223372036854775808", want: int64(math.MinInt64)},
		"-2^63-1":          {reply: "-9223372036854775809", want: -9223372036854775809.0},
		"1000 digits":      {reply: strings.Repeat("9", 1000), want: math.MaxFloat64},
		"null":             {reply: "null", want: dbus.Signature{}},
		"no object":        {reply: "[]", want: []dbus.Variant{}},
		"100000 objects": {
			reply: "[" + strings.Repeat("{}, ", 99_999) + "{}]",
			want:  slices.Repeat([]dbus.Variant{dbus.MakeVariant(none)}, 100_000),
		},
	} {
		t.Run(name, func(t *testing.T) {
			c.tb = t
			m.answer("ask", test.reply)
			got, err := c.execute("ask")
			if errorName(err) != test.err {
				t.Errorf("Call: %v, want error %q", err, test.err)
			}
			if test.err == "" && !cmp.Equal(got, test.want, cmp.Comparer(sameVariant), cmp.Comparer(sameSignature)) {
				t.Errorf("Call = %.100v, want %.100v", got, test.want)
			}
			if test.text == "" {
				test.text = test.reply
			}
			if text, err := c.call(qmpPath, callJSON, "ask", ""); err != nil || text != test.text {
				t.Errorf("CallJson = %.100v, %v, want %.100s", text, err, test.text)
			}
			if status := get[string](other, "Status"); status != "running" {
				t.Errorf("Status = %q, want running", status)
			}
		})
	}
}

func sameVariant(a, b dbus.Variant) bool     { return a.String() == b.String() }
func sameSignature(a, b dbus.Signature) bool { return a.String() == b.String() }

// TestHostileErrors has QEMU refuse with classes and descriptions that are none.
func TestHostileErrors(t *testing.T) {
	m := newMachine(t, nil)
	c := serve(t, m).as(admin)
	for _, test := range []struct{ class, desc, name, text string }{
		{"GenericError", "no", "GenericError", "no"},
		{"DeviceNotFound", "Device 'x' not found", "DeviceNotFound", "Device 'x' not found"},
		{"Future", "x", "Future", "x"},
		{"", "x", "GenericError", "x"},
		{"a.b", "x", "GenericError", "x"},
		{"1st", "x", "GenericError", "x"},
		{"ünknown", "x", "GenericError", "x"},
		{strings.Repeat("x", 64), "x", strings.Repeat("x", 64), "x"},
		{strings.Repeat("x", 65), "x", "GenericError", "x"},
		{longText, longText, "GenericError", longText},
		{"A\nB", "\x1b[31m\r\nline 2\x7f", "GenericError", "\x1b[31m\r\nline 2\x7f"},
		{"A", "\x00", "A", "\uFFFD"},
	} {
		class, _ := json.Marshal(test.class)
		desc, _ := json.Marshal(test.desc)
		m.script("ask", func(q *qmptest.QEMU, _ *qmptest.Request) {
			q.Send(fmt.Sprintf(`{"error": {"class": %s, "desc": %s}}`+"\r\n", class, desc))
		})
		_, err := c.execute("ask")
		if errorName(err) != ourError+"Qmp."+test.name || err.Error() != test.text {
			t.Errorf("class %.20q, desc %.20q: %.100v named %.100s", test.class, test.desc, err, errorName(err))
		}
	}
	m.script("ask", func(q *qmptest.QEMU, _ *qmptest.Request) {
		q.Send("{\"error\": {\"class\": \"\xff\", \"desc\": \"\xff\"}}\r\n")
	})
	if _, err := c.execute("ask"); errorName(err) != ourError+"Qmp.GenericError" || !utf8.ValidString(err.Error()) {
		t.Errorf("invalid UTF-8: %q named %q", err, errorName(err))
	}
}
