package e2e_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"qmp-dbus-bridge/e2e/rig"
)

// TestAttackMalformed sends bytes that are no message, or one that lies about itself. The bus ends
// the connection or the bridge refuses; nothing is executed.
func TestAttackMalformed(t *testing.T) {
	besiege(t, func(t *testing.T, s *siege) {
		stop := func(r *rig.Raw) []byte { return r.Encode(t, toBridge(qmpPath, qmpIf, "Call", "stop", none)) }
		broken := map[string]func(r *rig.Raw) []byte{
			"zeros":                func(*rig.Raw) []byte { return make([]byte, 4096) },
			"text":                 func(*rig.Raw) []byte { return []byte(strings.Repeat("{\"execute\":\"quit\"}\r\n", 10)) },
			"byte order":           func(r *rig.Raw) []byte { return set(stop(r), 0, 'x') },
			"other byte order":     func(r *rig.Raw) []byte { return set(stop(r), 0, 'B') },
			"version":              func(r *rig.Raw) []byte { return set(stop(r), 3, 2) },
			"no serial":            func(r *rig.Raw) []byte { return set(stop(r), 8, 0, 0, 0, 0) },
			"no type":              func(r *rig.Raw) []byte { return set(stop(r), 1, 0) },
			"huge header":          func(r *rig.Raw) []byte { return set(stop(r), 12, 0xff, 0xff, 0xff, 0x0f) },
			"body too short":       func(r *rig.Raw) []byte { return append(set(stop(r), 4, 1, 0, 0, 0), make([]byte, 64)...) },
			"body not UTF-8":       func(r *rig.Raw) []byte { return replace(stop(r), "stop", "st\xffp") },
			"NUL in a string":      func(r *rig.Raw) []byte { return replace(stop(r), "stop", "st\x00p") },
			"path with ..":         func(r *rig.Raw) []byte { return replace(stop(r), "/VM1/QMP", "/VM1/../") },
			"path that is escaped": func(r *rig.Raw) []byte { return replace(stop(r), "/VM1/QMP", "/VM1%2fQ") },
			"interface":            func(r *rig.Raw) []byte { return replace(stop(r), "VM1.QMP", "VM1..QM") },
			"signature":            func(r *rig.Raw) []byte { return replace(stop(r), "sa{sv}", "sa{svv") },
			"signature of others":  func(r *rig.Raw) []byte { return replace(stop(r), "sa{sv}", "sa{vs}") },
		}
		for name, bytes := range broken {
			t.Run(name, func(t *testing.T) {
				r := s.as(admin)
				if _, err := r.Write(bytes(r)); err != nil {
					t.Fatal(err)
				}
				if m := lastOf(t, r); m != nil && m.Type != dbus.TypeError {
					t.Errorf("it was answered %v", m)
				}
			})
		}
		s.nothingExecuted()
	})
}

// none is no arguments.
var none = map[string]dbus.Variant{}

// set overwrites bytes.
func set(message []byte, at int, with ...byte) []byte {
	copy(message[at:], with)
	return message
}

// replace puts a text of at most the same length in the place of the last of another.
func replace(message []byte, old, with string) []byte {
	at := strings.LastIndex(string(message), old)
	return set(message, at, []byte(with)...)
}

// lastOf reads until the bus ends the connection, or a reply comes: nil if it ends without, or nothing
// comes because the bus waits for the rest of the message.
func lastOf(t testing.TB, r *rig.Raw) *dbus.Message {
	t.Helper()
	const patience = 100 * time.Millisecond // a bus answers in one
	for {
		if err := r.SetReadDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		m, err := dbus.DecodeMessage(r.In)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, os.ErrDeadlineExceeded) ||
			err != nil && strings.Contains(err.Error(), "reset") {
			return nil
		}
		if err != nil {
			t.Fatal(err)
		}
		if m.Type != dbus.TypeSignal {
			return m
		}
	}
}

// TestAttackBody has an administrator send bodies that are huge, deep or say a thing twice: each is
// refused, in time and without being kept.
func TestAttackBody(t *testing.T) {
	besiege(t, func(t *testing.T, s *siege) {
		r := s.as(admin)
		long := strings.Repeat("x", 64<<10)
		many := slices.Repeat([]int64{1}, 400_000)
		bodies := []struct {
			name    string
			message dbus.Message
			want    string
		}{
			{"arguments of 64 KiB", arguments("ringbuf-write", map[string]any{"device": "ring", "data": long}), "LimitsExceeded"},
			{"JSON of 64 KiB", toBridge(qmpPath, qmpIf, "CallJson", "ringbuf-write", `{"device":"ring","data":"`+long+`"}`), "LimitsExceeded"},
			{"an array of 400 000", arguments("stop", map[string]any{"a": many}), "InvalidArgs"},
			{"as many of any", arguments("no-such-command", map[string]any{"a": many}), "LimitsExceeded"},
			{"a message of 4 MiB", arguments("stop", map[string]any{"a": strings.Repeat("x", 4<<20)}), "LimitsExceeded"},
			{"variants 60 deep", arguments("stop", map[string]any{"a": deep(60)}), "InvalidArgs"},
			{"JSON 1017 deep", toBridge(qmpPath, qmpIf, "CallJson", "stop", `{"a":`+strings.Repeat("[", 1016)+strings.Repeat("]", 1016)+"}"), "LimitsExceeded"},
			{"JSON 100 000 deep", toBridge(qmpPath, qmpIf, "CallJson", "stop", strings.Repeat("[", 100_000)), "InvalidArgs"},
			{"a key twice", twice("ringbuf-write", "device", "ring", "data", "1", "data", "2"), "InvalidArgs"},
			{"a key twice, not of the schema", twice("no-such-command", "a", "1", "a", "2"), "InvalidArgs"},
			{"JSON with a key twice", toBridge(qmpPath, qmpIf, "CallJson", "ringbuf-write", `{"device":"ring","data":"1","data":"2"}`), "InvalidArgs"},
			{"JSON with a key twice, written otherwise", toBridge(qmpPath, qmpIf, "CallJson", "ringbuf-write", `{"device":"ring","data":"1","dat\u0061":"2"}`), "InvalidArgs"},
			{"a third argument", toBridge(qmpPath, qmpIf, "Call", "stop", none, none), "InvalidArgs"},
		}
		s.withstand(20, func(size int) {
			for range (size + 9) / 10 {
				for _, body := range bodies {
					if got, want := ask(t, r, body.message), dbusError+body.want; got != want {
						t.Errorf("%s: %s, want %s", body.name, got, want)
					}
				}
			}
		})
		s.nothingExecuted()
	})
}

// TestAttackHuge has an administrator send messages of 31 MiB: dbus-daemon ends the connection, as it is told to,
// and what dbus-broker lets pass the bridge refuses, without keeping it.
func TestAttackHuge(t *testing.T) {
	besiege(t, func(t *testing.T, s *siege) {
		huge := arguments("stop", map[string]any{"a": strings.Repeat("x", 31<<20)})
		broker := strings.HasSuffix(t.Name(), "dbus-broker")
		s.withstand(20, func(size int) {
			for range (size + 9) / 10 {
				r := s.as(admin)
				if broker {
					if got, want := ask(t, r, huge), dbusError+"LimitsExceeded"; got != want {
						t.Errorf("a message of 31 MiB: %s, want %s", got, want)
					}
				} else if _, err := r.Write(r.Encode(t, huge)); !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("a message of 31 MiB: %v, want the connection to end", err)
				}
				r.Close()
			}
		})
		s.nothingExecuted()
	})
}

// arguments is a command by Call.
func arguments(command string, values map[string]any) dbus.Message {
	variants := map[string]dbus.Variant{}
	for name, value := range values {
		variants[name] = dbus.MakeVariant(value)
	}
	return toBridge(qmpPath, qmpIf, "Call", command, variants)
}

// deep is a variant in a variant, so many times.
func deep(n int) any {
	var v any = "x"
	for range n {
		v = dbus.MakeVariant(v)
	}
	return v
}

// twice is a command by Call with a dictionary whose keys need not differ: an array of structs has
// the same bytes.
func twice(command string, pairs ...string) dbus.Message {
	type entry struct {
		Key   string
		Value dbus.Variant
	}
	var entries []entry
	for i := 0; i < len(pairs); i += 2 {
		entries = append(entries, entry{pairs[i], dbus.MakeVariant(pairs[i+1])})
	}
	m := toBridge(qmpPath, qmpIf, "Call", command, entries)
	m.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.ParseSignatureMust("sa{sv}"))
	return m
}

// TestAttackPath has an administrator call what is not there, by paths, interfaces and members that are nearly right,
// and set what can only be read.
func TestAttackPath(t *testing.T) {
	besiege(t, func(t *testing.T, s *siege) {
		r := s.as(admin)
		for _, test := range []struct {
			path          dbus.ObjectPath
			iface, member string
			args          []any
			want          string
		}{
			{vmPath, "", "Pause", nil, "UnknownInterface"},
			{qmpPath, "", "Stop", nil, "UnknownInterface"},
			{qmpPath, "", "Call", []any{"stop", none}, "UnknownInterface"},
			{vmPath, "", "Get", []any{busName, "Status"}, "UnknownInterface"},
			{"/org/qemu/VM1_2fQMP", qmpIf, "Stop", nil, "UnknownObject"},
			{"/org/qemu/VM_31/QMP", qmpIf, "Stop", nil, "UnknownObject"},
			{"/org/qemu/_56M1/QMP", qmpIf, "Stop", nil, "UnknownObject"},
			{"/org/qemu/VM1/QMP/QMP", qmpIf, "Stop", nil, "UnknownObject"},
			{"/org/qemu/vm1", busName, "Pause", nil, "UnknownObject"},
			{"/", busName, "Pause", nil, "UnknownInterface"},
			{vmPath, qmpIf, "Stop", nil, "UnknownInterface"},
			{qmpPath, busName, "Pause", nil, "UnknownInterface"},
			{qmpPath, "org.qemu.vm1.qmp", "Stop", nil, "UnknownInterface"},
			{qmpPath, eventsIf, "Stop", nil, "UnknownMethod"},
			{qmpPath, qmpIf, "stop", nil, "UnknownMethod"},
			{qmpPath, qmpIf, "QmpCapabilities", nil, "UnknownMethod"},
			{qmpPath, qmpIf, "Block_resize", []any{int64(1)}, "UnknownMethod"},
			{vmPath, propsIf, "Set", []any{busName, "Status", dbus.MakeVariant("paused")}, "PropertyReadOnly"},
			{vmPath, propsIf, "Set", []any{busName, "Running", dbus.MakeVariant(false)}, "PropertyReadOnly"},
			{vmPath, propsIf, "Set", []any{busName, "Nothing", dbus.MakeVariant("x")}, "UnknownProperty"},
			{vmPath, propsIf, "Get", []any{busName, "status"}, "UnknownProperty"},
		} {
			if got, want := ask(t, r, toBridge(test.path, test.iface, test.member, test.args...)), dbusError+test.want; got != want {
				t.Errorf("%s %s.%s%v: %s, want %s", test.path, test.iface, test.member, test.args, got, want)
			}
		}
		// Who may do less is not told what there is. Set is no way to write for anyone.
		low := s.as(viewer)
		if got, want := ask(t, low, toBridge(vmPath, propsIf, "Set", busName, "Status", dbus.MakeVariant("paused"))), dbusError+"PropertyReadOnly"; got != want {
			t.Errorf("a viewer's Set: %s, want %s", got, want)
		}
		for _, m := range []dbus.Message{
			toBridge(vmPath, busName, "Pause"), toBridge(qmpPath, qmpIf, "Stop"),
			toBridge(qmpPath, qmpIf, "Call", "stop", none), toBridge(qmpPath, qmpIf, "CallJson", "stop", ""),
		} {
			if got, want := ask(t, low, m), dbusError+"AccessDenied"; got != want {
				t.Errorf("a viewer's %s: %s, want %s", fmt.Sprint(m.Headers[dbus.FieldMember]), got, want)
			}
		}
		s.nothingExecuted()
	})
}
