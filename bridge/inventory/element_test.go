package inventory_test

import (
	"testing"

	"qmp-dbus-bridge/bridge/inventory"
	"qmp-dbus-bridge/schema/wire"
)

// TestElement has the examples of systemd's test of bus_label_escape, and others.
func TestElement(t *testing.T) {
	for id, want := range map[string]string{
		"":              "_",
		"abc":           "abc",
		"a.b":           "a_2eb",
		"foo_bar-waldo": "foo_5fbar_2dwaldo",
		":1":            "_3a1",
		":1.1":          "_3a1_2e1",
		"1":             "_31",
		"a1":            "a1",
		"_":             "_5f",
		"Zz09":          "Zz09",
		"@[`{":          "_40_5b_60_7b",
		"\x00\xff":      "_00_ff",
		"ä":             "_c3_a4",
	} {
		if got := inventory.Element(id); got != want {
			t.Errorf("Element(%q) = %q, want %q", id, got, want)
		}
	}
}

// FuzzElement has every id make a path, and no two the same.
func FuzzElement(f *testing.F) {
	f.Add("vd0", "vd_30")
	f.Add("", "_")
	f.Fuzz(func(t *testing.T, a, b string) {
		x, y := inventory.Element(a), inventory.Element(b)
		if !wire.ValidPath("/"+x) || (x == y) != (a == b) {
			t.Errorf("Element(%q) = %q, Element(%q) = %q", a, x, b, y)
		}
	})
}
