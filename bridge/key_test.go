package bridge_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestSendKey presses keys on each captured QEMU. What it does not have is told with its place before QEMU is asked.
func TestSendKey(t *testing.T) {
	for name, schema := range captured(t) {
		if !slices.Contains(ofSchema(t, schema, "command"), "send-key") { // a storage daemon
			continue
		}
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, map[string]string{"query-qmp-schema": schema})
			c := serve(t, m).as(operator)
			if err := c.vm("SendKey", []string{"ctrl", "alt", "delete"}, uint32(0)); err != nil {
				t.Error(err)
			}
			if err := c.vm("SendKey", []string{"a"}, uint32(250)); err != nil {
				t.Error(err)
			}
			want := []string{
				`send-key {"keys":[{"type":"qcode","data":"ctrl"},{"type":"qcode","data":"alt"},{"type":"qcode","data":"delete"}]}`,
				`send-key {"keys":[{"type":"qcode","data":"a"}],"hold-time":250}`,
			}
			if diff := cmp.Diff(want, m.commands()); diff != "" {
				t.Errorf("QEMU was told (-want +got):\n%s", diff)
			}
			for _, key := range []string{"", "A", "é", `a"},{"type":"qcode","data":"b`, longText} {
				err := c.vm("SendKey", []string{"a", key}, uint32(0))
				if errorName(err) != dbusError+"InvalidArgs" || !strings.HasPrefix(err.Error(), "send-key.keys[1].data: '") ||
					!strings.Contains(err.Error(), " is not one of ") || !strings.Contains(err.Error(), ", spc, ") {
					t.Errorf("SendKey of %.40q: %v", key, err)
				}
			}
			if got := m.commands(); got != nil {
				t.Errorf("QEMU was told %q", got)
			}
		})
	}
}

// TestMaxKeys presses as many keys, and for as long, as may be, and one more.
func TestMaxKeys(t *testing.T) {
	const keys, hold = 16, 60_000 // see docs/api.md
	m := newMachine(t, map[string]string{"query-qmp-schema": schemaOf(t, []string{"send-key"}, nil)})
	c := serve(t, m).as(operator)
	for _, test := range []struct {
		keys int
		hold uint32
		want string
	}{
		{0, 0, dbusError + "InvalidArgs"},
		{1, 0, ""},
		{keys, hold, ""},
		{keys + 1, 0, dbusError + "LimitsExceeded"},
		{100_000, 0, dbusError + "LimitsExceeded"},
		{1, hold + 1, dbusError + "LimitsExceeded"},
	} {
		err := c.vm("SendKey", slices.Repeat([]string{"a"}, test.keys), test.hold)
		if errorName(err) != test.want {
			t.Errorf("%d keys for %d ms: %v, want %q", test.keys, test.hold, err, test.want)
		}
		if told := m.commands(); (len(told) == 1) != (test.want == "") {
			t.Errorf("%d keys for %d ms: QEMU was told %.100q", test.keys, test.hold, told)
		}
	}
}

// TestSetMemory sets the balloon: the property shows what QEMU tells afterwards.
func TestSetMemory(t *testing.T) {
	m := newMachine(t, map[string]string{
		"query-balloon": `{"actual": 1073741824}`, "query-qmp-schema": schemaOf(t, []string{"balloon"}, nil),
	})
	w := serve(t, m)
	c := w.as(admin)
	m.answer("query-balloon", `{"actual": 536870912}`)
	if err := c.vm("SetMemory", uint64(512<<20)); err != nil {
		t.Error(err)
	}
	if got := get[uint64](c, "BalloonActual"); got != 512<<20 {
		t.Errorf("BalloonActual = %d", got)
	}
	if err := c.vm("SetMemory", uint64(math.MaxInt64)); err != nil {
		t.Error(err)
	}
	const tooMuch = "balloon.bytes: 9223372036854775808 is out of range: from 0 to 9223372036854775807"
	if err := c.vm("SetMemory", uint64(math.MaxInt64+1)); errorName(err) != dbusError+"InvalidArgs" || err.Error() != tooMuch {
		t.Errorf("SetMemory = %v, want InvalidArgs: %s", err, tooMuch)
	}
	if diff := cmp.Diff([]string{`balloon {"value":536870912}`, `balloon {"value":9223372036854775807}`}, m.commands()); diff != "" {
		t.Errorf("QEMU was told (-want +got):\n%s", diff)
	}
	if err := w.as(operator).vm("SetMemory", uint64(0)); errorName(err) != dbusError+"AccessDenied" {
		t.Errorf("an operator's SetMemory: %v", err)
	}
	if got := m.commands(); got != nil {
		t.Errorf("QEMU was told %q", got)
	}
}
