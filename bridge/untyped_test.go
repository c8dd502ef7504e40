package bridge_test

import (
	"fmt"
	"strings"
	"testing"

	"qmp-dbus-bridge/qmp/qmptest"
)

const untyped = "can't be methods or signals of their own"

// TestUntypedNamesAreLogged has a QEMU with names that can't be members: they are logged once for
// each kind of QEMU, not at each connection, and reached by Call and Other.
func TestUntypedNamesAreLogged(t *testing.T) {
	m := newMachine(t, map[string]string{
		"query-qmp-schema": schemaOf(t,
			[]string{"getfd", "add-fd", "qmp_capabilities", "stop", "call", "a-b", "a_b", strings.Repeat("x", 300)},
			[]string{"STOP", "LOST", "B_C", "B-C"}),
		"a_b": `{"reached": true}`,
	})
	w, log := serveLogged(t, m)
	c := w.as(admin)
	want := fmt.Sprintf(`first="[a_b call %s B_C LOST]" count=5`, strings.Repeat("x", 300))
	if lines := log.lines(untyped); len(lines) != 1 || !strings.Contains(lines[0], want) {
		t.Errorf("logged %q, want one line with %s", lines, want)
	}
	if result, err := c.execute("a_b"); err != nil {
		t.Errorf("Call of a command without a method: %v, %v", result, err)
	}

	changes := c.changes()
	again := func(greeting string) int {
		m.die()
		changed(t, changes)
		m.listen(qmptest.Options{Greeting: greeting})
		changed(t, changes)
		return len(log.lines(untyped))
	}
	if n := again(qmptest.Greeting); n != 1 {
		t.Errorf("%d lines after the same QEMU came back, want 1", n)
	}
	if n := again(strings.Replace(qmptest.Greeting, `"major": 7`, `"major": 99`, 1)); n != 2 {
		t.Errorf("%d lines after another QEMU came, want 2", n)
	}
}

// TestUntypedNamesAreBounded has a QEMU whose names make two methods: the log gets a few of them.
func TestUntypedNamesAreBounded(t *testing.T) {
	names := make([]string, 5000)
	for i := range names {
		names[i] = fmt.Sprintf("a%sb", strings.Repeat("-", i%500)) + strings.Repeat("_", i/500)
	}
	_, log := serveLogged(t, newMachine(t, map[string]string{"query-qmp-schema": schemaOf(t, names, nil)}))
	lines := log.lines(untyped)
	if len(lines) != 1 || !strings.Contains(lines[0], "count=4998") {
		t.Fatalf("%d lines, %.100q", len(lines), lines)
	}
	if got, most := len(lines[0]), 8*512+512; got > most {
		t.Errorf("the line has %d bytes, more than %d", got, most)
	}
}
