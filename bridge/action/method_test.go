package action_test

import (
	"testing"

	"qmp-dbus-bridge/bridge/action"
)

func TestOfMethod(t *testing.T) {
	for name, want := range map[string][2]string{
		"Pause":        {"Pause", "stop"},
		"Job.Pause":    {"Pause", "job-pause"},
		"Job.Cancel":   {"Cancel", "job-cancel"},
		"Block.Resize": {"Resize", "block_resize"},
	} {
		if member, command := action.OfMethod(name); [2]string{member, command} != want {
			t.Errorf("OfMethod(%q) = %q, %q, want %q", name, member, command, want)
		}
	}
	for _, name := range []string{"", "Resize", "Block.Pause", "Block.", "stop"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("OfMethod(%q) does not panic", name)
				}
			}()
			action.OfMethod(name)
		}()
	}
}

func TestMeant(t *testing.T) {
	for name, want := range map[string]string{
		"Pause":       "stop", // the VM's, not a job's
		"Unplug":      "device_del",
		"InjectNMI":   "inject-nmi",
		"QueryStatus": "query-status",
		"DeviceAdd":   "device_add",
		"OfThisQemu":  "of-this.qemu",
		"query-statu": "query-status",
		"nonsense":    "",
		"":            "",
	} {
		if got := action.Meant(name, []string{"device_add", "of-this.qemu", "query-status"}); got != want {
			t.Errorf("Meant(%q) = %q, want %q", name, got, want)
		}
	}
}
