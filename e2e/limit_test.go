package e2e_test

import (
	"testing"

	"github.com/godbus/dbus/v5"

	"qmp-dbus-bridge/e2e/rig"
)

// TestLimitFlags has the program keep limits that its command line sets: at each, and one past it.
func TestLimitFlags(t *testing.T) {
	b := serveQEMU(t, rig.StartQEMU(t, rig.QEMU{}), "--limit", "subscriptions=2", "--limit", "reply=1M", "--limit", "fds=1")
	conn := rig.Self().MustDial(t, b.address)
	for _, tt := range []struct {
		call func() error
		want string
	}{
		{func() error { return subscribeTo(conn, "STOP", "RESET") }, "<nil>"},
		{func() error { return subscribeTo(conn, "RESUME") }, dbusError + "LimitsExceeded"},
		{func() error { return passFDs(conn, 1) }, dbusError + "InvalidArgs"},
		{func() error { return passFDs(conn, 2) }, dbusError + "LimitsExceeded"},
	} {
		if got := errorName(tt.call()); got != tt.want {
			t.Errorf("it ended with %s, want %s", got, tt.want)
		}
	}
}

func subscribeTo(conn *dbus.Conn, events ...string) error {
	return conn.Object(busName, vmPath).Call(busName+".Subscribe", 0, events).Err
}

// passFDs reads a property with descriptors as arguments.
func passFDs(conn *dbus.Conn, n int) error {
	return conn.Object(busName, vmPath).Call(propsIf+".Get", 0, make([]dbus.UnixFD, n)).Err // of our standard input
}
