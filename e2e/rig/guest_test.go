package rig_test

import (
	"testing"

	"qmp-dbus-bridge/e2e/rig"
)

func TestGuest(t *testing.T) {
	guest := rig.StartGuest(t, rig.QEMU{Args: rig.SharedMemory})
	for _, tt := range []struct{ line, want string }{
		{"uname -s", "Linux"},
		{"printf 'a  b\\n\\nc\\n'; echo err >&2", "a  b\n\nc\nerr"},
		{"true", ""},
		{"seq 10000 | tail -n 2", "9999\n10000"},
		{"cat /sys/bus/pci/slots/*/power | wc -l", "4"},
	} {
		if got := guest.Run(t, tt.line); got != tt.want {
			t.Errorf("Run(%s) = %q, want %q", tt.line, got, tt.want)
		}
	}
	guest.Tell(t, "poweroff -f")
	if status := guest.Wait(t); status != 0 {
		t.Errorf("exit status %d, want 0:\n%s", status, guest.Output())
	}
}
