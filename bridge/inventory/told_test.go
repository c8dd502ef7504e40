package inventory_test

import (
	"slices"
	"testing"

	"qmp-dbus-bridge/bridge/inventory"
)

// TestTold has events of several versions of QEMU: which of them tell the status.
func TestTold(t *testing.T) {
	for _, test := range []struct {
		event        string
		major, minor int
		told         bool
	}{
		{"RESUME", 5, 2, true},
		{"RESUME", 7, 2, true},
		{"RESUME", 8, 1, true},
		{"RESUME", 8, 2, false},
		{"RESUME", 9, 0, false},
		{"RESUME", 10, 1, false},
		{"STOP", 7, 2, false},
		{"SUSPEND", 7, 2, false},
		{"WAKEUP", 7, 2, false},
		{"resume", 7, 2, false},
		{"", 7, 2, false},
	} {
		var want []inventory.Value
		if test.told {
			want = []inventory.Value{inventory.Text("running"), inventory.Flag(true)}
		}
		if got := inventory.Told(test.event, test.major, test.minor); !slices.Equal(got, want) {
			t.Errorf("%s of QEMU %d.%d tells %v, want %v", test.event, test.major, test.minor, got, want)
		}
	}
}
