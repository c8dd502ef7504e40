package e2e_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"
)

// TestAttackInjection has strings that would end a JSON string, a command, a line. QEMU gets one
// command each time, with the string as its value, or none.
func TestAttackInjection(t *testing.T) {
	besiege(t, func(t *testing.T, s *siege) {
		conn := admin.MustDial(t, s.address)
		object := conn.Object(busName, qmpPath)
		texts := []string{
			`"}, "execute": "quit", "x": {"y": "`,
			"\"}}\r\n{\"execute\": \"quit\"}\r\n",
			`\"}}{"execute": "quit"}`, `\`, `\\"`, `\u0022}}`, `", "format": "base64`,
			"\x1b[2J", "\u2028\u2029", "\x01\x02\x1f\x7f", "'", "%s%n%(x)s", "${x}", "<!--", "\t\r\n",
			"\U0001F600", "e\u0301", "\u202e", "\u00ff\u009b",
		}
		for _, text := range texts {
			encoded, err := json.Marshal(map[string]string{"device": "ring", "data": text})
			if err != nil {
				t.Fatal(err)
			}
			for way, call := range map[string]func() error{
				"typed": func() error { return object.Call(qmpIf+".RingbufWrite", 0, "ring", text).Err },
				"Call": func() error {
					_, err := qmp(conn, "ringbuf-write", map[string]any{"device": "ring", "data": text})
					return err
				},
				"CallJson": func() error { return object.Call(qmpIf+".CallJson", 0, "ringbuf-write", string(encoded)).Err },
			} {
				if err := call(); err != nil {
					t.Errorf("%s(%q): %v", way, text, err)
				}
				if got, err := qmp(conn, "ringbuf-read", map[string]any{"device": "ring", "size": 65536}); err != nil || got != text {
					t.Errorf("%s(%q) wrote %q, %v", way, text, got, err)
				}
			}
		}
		if n, want := len(s.executed()), len(texts)*3*2; n != want {
			t.Errorf("QEMU was told %d commands, want %d", n, want)
		}
		// As names of commands, and of arguments.
		for _, text := range texts {
			want := "org.qemu.VM1.Error.Qmp.CommandNotFound"
			if strings.Contains(text, ":") { // which sets other kinds of actions apart
				want = dbusError + "AccessDenied"
			}
			wantError(t, object.Call(qmpCall, 0, text, none).Err, want)
			wantError(t, object.Call(qmpCall, 0, "stop", map[string]dbus.Variant{text: dbus.MakeVariant(text)}).Err, dbusError+"InvalidArgs")
		}
		for _, command := range s.executed() {
			if name, _, _ := strings.Cut(command, " {"); strings.TrimSpace(name) == "quit" || strings.TrimSpace(name) == "stop" {
				t.Errorf("QEMU was told %s", command)
			}
		}
	})
}

// TestAttackValues has values that the two sides of a bridge easily read differently, by each of its ways:
// each is refused before QEMU sees it.
func TestAttackValues(t *testing.T) {
	besiege(t, func(t *testing.T, s *siege) {
		object := admin.MustDial(t, s.address).Object(busName, qmpPath)
		resize := func(value any) error {
			return object.Call(qmpCall, 0, "block_resize", map[string]dbus.Variant{
				"node-name": dbus.MakeVariant("n0"), "size": dbus.MakeVariant(value),
			}).Err
		}
		typed := func(value any) error {
			return object.Call(qmpIf+".BlockResize", 0, value, map[string]dbus.Variant{"node-name": dbus.MakeVariant("n0")}).Err
		}
		write := func(key string, value any) error {
			return object.Call(qmpCall, 0, "ringbuf-write", map[string]dbus.Variant{
				"device": dbus.MakeVariant("ring"), key: dbus.MakeVariant(value),
			}).Err
		}
		byJSON := func(command, text string) error { return object.Call(qmpIf+".CallJson", 0, command, text).Err }
		for name, err := range map[string]error{
			"NaN": resize(math.NaN()), "infinity": resize(math.Inf(1)), "a fraction": resize(1.5), "an integer as a fraction": resize(4096.0),
			"typed NaN": typed(math.NaN()), "typed text": typed("4096"), "typed true": typed(true),
			"2^64 as a number": resize(18446744073709551616.0), "text": resize("4096"),
			"JSON 2^64":         byJSON("block_resize", `{"node-name":"n0","size":18446744073709551616}`),
			"JSON -2^63-1":      byJSON("block_resize", `{"node-name":"n0","size":-9223372036854775809}`),
			"JSON NaN":          byJSON("block_resize", `{"node-name":"n0","size":NaN}`),
			"JSON Infinity":     byJSON("block_resize", `{"node-name":"n0","size":Infinity}`),
			"JSON 1e999":        byJSON("block_resize", `{"node-name":"n0","size":1e999}`),
			"JSON hex":          byJSON("block_resize", `{"node-name":"n0","size":0x10}`),
			"JSON 010":          byJSON("block_resize", `{"node-name":"n0","size":010}`),
			"JSON quotes":       byJSON("stop", `{'a': 1}`),
			"JSON comment":      byJSON("stop", `{} // {}`),
			"JSON trailing":     byJSON("stop", `{}{"execute":"quit"}`),
			"JSON line":         byJSON("stop", "{}\n{\"execute\":\"quit\"}"),
			"JSON list":         byJSON("stop", `[]`),
			"JSON text":         byJSON("stop", `"stop"`),
			"JSON percent":      byJSON("stop", `%s`),
			"JSON BOM":          byJSON("stop", "\ufeff{}"),
			"JSON surrogate":    byJSON("ringbuf-write", `{"device":"ring","data":"\ud800"}`),
			"JSON noncharacter": byJSON("ringbuf-write", `{"device":"ring","data":"\ufffe"}`),
			"noncharacter":      write("data", "\ufffe"), "another": write("data", "\ufdd0"), "a third": write("data", "\U0010FFFF"),
			"noncharacter in a name": write("d\uffffata", "x"),
			// Names of arguments are exact.
			"case": write("Data", "x"), "dash": write("da-ta", "x"), "dot": write("data.x", "x"), "space": write("data ", "x"), "empty": write("", "x"),
			"underscore for a dash": object.Call(qmpCall, 0, "block_resize", map[string]dbus.Variant{"node_name": dbus.MakeVariant("n0"), "size": dbus.MakeVariant(4096)}).Err,
			"dotted keys": object.Call(qmpIf+".BlockdevAdd", 0, "raw", map[string]dbus.Variant{
				"node-name": dbus.MakeVariant("n1"), "file.driver": dbus.MakeVariant("file"), "file.filename": dbus.MakeVariant("/etc/passwd"),
			}).Err,
		} {
			if got, want := errorName(err), dbusError+"InvalidArgs"; got != want {
				t.Errorf("%s: %s (%v), want %s", name, got, err, want)
			}
		}
		s.nothingExecuted()
		// JSON has NUL escaped, and so it stays: nothing ends there, on QEMU's side either.
		if err := byJSON("ringbuf-write", `{"device":"ring","data":"a\u0000b"}`); err != nil {
			t.Errorf("JSON NUL: %v", err)
		}
		if diff := cmp.Diff([]string{`ringbuf-write {"device": "ring", "data": "a\u0000b"}`}, s.executed()); diff != "" {
			t.Errorf("QEMU was told (-want +got):\n%s", diff)
		}
		// JSON that is left to QEMU comes there as it is, and QEMU knows no other spelling either.
		for _, text := range []string{
			`{"device":"ring","Data":"x"}`, `{"device":"ring","da_ta":"x"}`, `{"device":"ring","data":"x","data.y":"z"}`,
		} {
			if err := byJSON("ringbuf-write", text); !strings.HasPrefix(errorName(err), "org.qemu.VM1.Error.Qmp.") && errorName(err) != dbusError+"InvalidArgs" {
				t.Errorf("CallJson %s: %v, want an error of QEMU's", text, err)
			}
		}
	})
}

// TestAttackNamesOfCommands has a viewer write names of commands otherwise: none of them is taken for
// one that it may do, and none reaches QEMU.
func TestAttackNamesOfCommands(t *testing.T) {
	besiege(t, func(t *testing.T, s *siege) {
		object := viewer.MustDial(t, s.address).Object(busName, qmpPath)
		for _, name := range []string{
			"Stop", "STOP", "stop ", " stop", "stop\n", "stop\t", "system-reset", "system.reset", "systemReset",
			"query-status\nstop", "query-status\",\"x\":\"", "query_name", "Query-Name", "query-name ", "", ":", "command:stop",
			"event:STOP", "class:read", "read-properties", "introspect", "subscribe", "qmp_capabilities", "query-name\u00a0",
			strings.Repeat("query-name", 30), "quit", "human-monitor-command", "x-exit-preconfig", "getfd", "add-fd", "closefd", "remove-fd",
		} {
			for way, err := range map[string]error{
				"Call":     object.Call(qmpCall, 0, name, none).Err,
				"CallJson": object.Call(qmpIf+".CallJson", 0, name, "").Err,
			} {
				if got, want := errorName(err), dbusError+"AccessDenied"; got != want {
					t.Errorf("a viewer's %s(%q): %s, want %s", way, name, got, want)
				}
			}
		}
		s.nothingExecuted()
	})
}
