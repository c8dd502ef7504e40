package bridge_test

import (
	"slices"
	"strings"
	"testing"

	"qmp-dbus-bridge/qmp/qmptest"
)

// TestOddNames has a caller pass descriptors by names that JSON escapes, and leave: QEMU is told to close them in words that it
// understands.
func TestOddNames(t *testing.T) {
	m := newMonitor(t)
	c := serve(t, m.machine).as(admin)
	fd := connected(t)
	odd := []string{"\x01x", "\a", "\x7f", "a\"b\\c", "\U000e0001", "é"}
	for _, name := range odd {
		if err := c.getfd(name, fd); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	m.wantHas(len(odd), 0)
	c.Close()
	m.wantHas(0, 0)
}

// TestNumbersOfDescriptors has a caller name a descriptor by a number: QEMU would take one that it has itself.
func TestNumbersOfDescriptors(t *testing.T) {
	m := newMonitor(t)
	c := serve(t, m.machine).as(admin)
	fd := connected(t)
	for _, name := range []string{"3", "3x", "0"} {
		if err := c.getfd(name, fd); errorName(err) != dbusError+"InvalidArgs" {
			t.Errorf("getfd %s: %v, want InvalidArgs", name, err)
		}
		if err := c.runs("netdev_add", "type", "socket", "id", "n", "fd", name); errorName(err) != dbusError+"InvalidArgs" {
			t.Errorf("netdev_add %s: %v, want InvalidArgs", name, err)
		}
	}
	m.wantHas(0, 0)
}

// TestNameClosedMeanwhile has a caller begin a migration to a descriptor of its own and have that closed while the bridge asks QEMU about
// helpers: then the name may be another's, and nothing is migrated.
func TestNameClosedMeanwhile(t *testing.T) {
	m := newMonitor(t)
	m.script("query-migrate", func(_ *qmptest.QEMU, r *qmptest.Request) { r.Return("{}") })
	c := serve(t, m.machine).as(admin)
	if err := c.getfd("x", connected(t)); err != nil {
		t.Fatal(err)
	}
	m.hold("qom-list", true)
	start := c.Object(busName, at("migration")).Go(migrationIf+".Start", 0, nil, to("fd:x"), none)
	asked := m.nextHeld()
	if err := c.runs("closefd", "fdname", "x"); err != nil {
		t.Fatal(err)
	}
	m.hold("qom-list", false)
	asked.Return("[]")
	if err := (<-start.Done).Err; errorName(err) != dbusError+"InvalidArgs" {
		t.Errorf("Start = %v, want InvalidArgs", err)
	}
	if got := m.commands(); slices.ContainsFunc(got, func(line string) bool { return strings.HasPrefix(line, "migrate") }) {
		t.Errorf("QEMU was told %q", got)
	}
}
