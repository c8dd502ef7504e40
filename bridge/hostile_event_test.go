package bridge_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"
)

// TestHostileEvents has QEMU send events that are none: those that can be told are told, one that
// is not QMP ends the connection, and no other caller notices.
func TestHostileEvents(t *testing.T) {
	m := newMachine(t, map[string]string{"query-qmp-schema": schemaOf(t, nil, []string{"STOP", "RESUME", "Lost", "RESET"})})
	w := serve(t, m)
	c := w.as(admin)
	signals := c.watch(dbus.WithMatchInterface(eventsIf))
	changes := w.as(admin).changes()
	deep := `{"a": ` + nested(64) + `}`
	for _, test := range []struct {
		event, data string
		member      string // "" if no signal is due
		body        []any
	}{
		{"STOP", `{"x": 1}`, "Stop", []any{map[string]dbus.Variant{"x": dbus.MakeVariant(int64(1))}, int64(1700000000000005)}},
		{"RESET", deep, "Reset", []any{map[string]dbus.Variant{"json": dbus.MakeVariant(deep)}, int64(1700000000000005)}},
		{"RESET", "{\"\xff\": \"\xfe\"}", "Reset", []any{map[string]dbus.Variant{"\uFFFD": dbus.MakeVariant("\uFFFD")}, int64(1700000000000005)}},
		{strings.Repeat("X", 10_000), "", "", nil},
		{"LINE\\nBREAK", "", "", nil},
		{"\\u001b", "", "", nil},
		{"\\u0000", "", "", nil},
		{"", "", "", nil},
		{"OF_NO_SCHEMA", "", "", nil}, // nobody can ask for one of these
		{"RTC_CHANGE", "", "Other", []any{"RTC_CHANGE", none, int64(1700000000000005)}}, // not of this QEMU's schema, and harmless
		{"RESUME", `{"x": "` + longText + `"}`, "Resume", []any{map[string]dbus.Variant{"x": dbus.MakeVariant(longText)}, int64(1700000000000005)}},
	} {
		m.client().Send(eventLine(test.event, test.data))
		if test.member == "" {
			continue // then the next signal is the next one's
		}
		s := next(t, signals)
		if s.Name != eventsIf+"."+test.member || s.Sender == "" || !cmp.Equal(s.Body, test.body, cmp.Comparer(sameVariant)) {
			t.Errorf("event %.20q: %s%.200v, want %s%.200v", test.event, s.Name, s.Body, test.member, test.body)
		}
	}
	for _, garbage := range []string{
		`{"event": "STOP", "data": [], "timestamp": {"seconds": 1, "microseconds": 1}}`,
		`{"event": 5, "timestamp": {"seconds": 1, "microseconds": 1}}`,
		`{"event": "STOP", "event": "RESUME"}`,
		"\x00\x00\x00",
		`{"return": {}, "error": {}}`,
	} {
		m.client().Send(garbage + "\r\n")
		for _, connected := range []bool{false, true} {
			if got := changed(t, changes)["Connected"]; got != connected {
				t.Errorf("%s: Connected = %v, want %v", garbage, got, connected)
			}
		}
	}
	m.client().Send(eventLine("RESET", ""))
	if s := next(t, signals); s.Name != eventsIf+".Reset" {
		t.Errorf("signal %s, want Reset", s.Name)
	}
}

// eventLine is an event whose parts are JSON as they are.
func eventLine(name, data string) string {
	if data != "" {
		data = `, "data": ` + data
	}
	return fmt.Sprintf(`{"timestamp": {"seconds": 1700000000, "microseconds": 5}, "event": "%s"%s}`+"\r\n", name, data)
}
