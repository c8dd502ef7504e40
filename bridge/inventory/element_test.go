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
		if got, found := inventory.ID(want); !found || got != id {
			t.Errorf("ID(%q) = %q, %v, want %q", want, got, found, id)
		}
	}
}

// TestID has elements that are none: only what Element makes has an id.
func TestID(t *testing.T) {
	for _, element := range []string{
		"", "1", "a-b", "a.b", "ä", "\x00", "a/b", "__", "a_", "a_2", "_2", "_2D", "_zz", "_ 1", "_+1", "_61", "a_31", "_5F", "a_5", "_5f_",
	} {
		if id, found := inventory.ID(element); found {
			t.Errorf("ID(%q) = %q, want none", element, id)
		}
	}
}

// FuzzID has every text be the element of one id, or of none.
func FuzzID(f *testing.F) {
	f.Add("device_5b0_5d")
	f.Add("_")
	f.Add("_5F")
	f.Fuzz(func(t *testing.T, element string) {
		if id, found := inventory.ID(element); found && inventory.Element(id) != element {
			t.Errorf("ID(%q) = %q, whose element is %q", element, id, inventory.Element(id))
		}
	})
}

// FuzzElement has every id make a path, no two the same, and come back from it.
func FuzzElement(f *testing.F) {
	f.Add("vd0", "vd_30")
	f.Add("", "_")
	f.Fuzz(func(t *testing.T, a, b string) {
		x, y := inventory.Element(a), inventory.Element(b)
		if !wire.ValidPath("/"+x) || (x == y) != (a == b) {
			t.Errorf("Element(%q) = %q, Element(%q) = %q", a, x, b, y)
		}
		if id, found := inventory.ID(x); !found || id != a {
			t.Errorf("ID(%q) = %q, %v, want %q", x, id, found, a)
		}
	})
}
