package bridge_test

import (
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"

	"qmp-dbus-bridge/e2e/rig"
)

// TestCallerGone has callers, an administrator's, leave the bus before the bridge has
// looked who they are: nothing that they sent is executed, and the audit says so.
func TestCallerGone(t *testing.T) {
	m := newMachine(t, nil)
	w := newWorld(t, m.dial)
	w.join() // calls wait until it runs
	watcher := w.as(admin)
	const calls = 3
	gone, err := admin.Dial(w.bus.Address)
	if err != nil {
		t.Fatal(err)
	}
	name := gone.Names()[0]
	gone.Object(busName, vmPath).Go(busName+".Pause", dbus.FlagNoReplyExpected, nil)
	gone.Object(busName, qmpPath).Go(call, dbus.FlagNoReplyExpected, nil, "quit", none)
	gone.Object(busName, vmPath).Go(busName+".Subscribe", dbus.FlagNoReplyExpected, nil, []string{"VNC_CONNECTED"})
	gone.Close()
	rig.Eventually(t, "the bus notices", func() bool { return !watcher.owned(name) })

	w.run()
	for _, r := range w.records(calls) {
		if r.Caller != name || r.UID != nil || r.Decision != "deny" || r.Policy != "no-identity" {
			t.Errorf("record %+v of a caller that was gone", r)
		}
	}
	if _, err := watcher.execute("query-name"); err != nil {
		t.Error(err)
	}
	if got := m.commands(); got != nil {
		t.Errorf("QEMU was told %q, want nothing", got)
	}
}

// owned asks the bus whether anybody has the name.
func (c *caller) owned(name string) bool {
	c.tb.Helper()
	var has bool
	if err := c.BusObject().Call("org.freedesktop.DBus.NameHasOwner", 0, name).Store(&has); err != nil {
		c.tb.Fatal(err)
	}
	return has
}

// TestLookupFails has a bus that tells the bridge nothing about its callers: everybody is denied
// everything, who would be an administrator too.
func TestLookupFails(t *testing.T) {
	m := newMachine(t, nil)
	w := newWorld(t, m.dial)
	const deny = `<deny send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus" send_member="GetConnectionCredentials"/></policy>`
	w.bus = rig.StartDaemon(t, strings.Replace(rig.Permissive, "</policy>", deny, 1))
	w.join()
	w.run()
	c := w.as(admin)
	for _, p := range []probe{
		{vmPath, busName + ".Pause", nil},
		{vmPath, busName + ".ListCommands", nil},
		{vmPath, busName + ".Subscribe", []any{[]string{"STOP"}}},
		{vmPath, propsIf + ".GetAll", []any{busName}},
		{vmPath, "org.freedesktop.DBus.Introspectable.Introspect", nil},
		{vmPath, "org.freedesktop.DBus.Peer.Ping", nil},
		{vmPath, "org.freedesktop.DBus.ObjectManager.GetManagedObjects", nil},
		{qmpPath, call, []any{"query-name", none}},
		{qmpPath, callJSON, []any{"query-name", ""}},
		{qmpPath, "org.qemu.VM1.QMP.Stop", nil},
		{"/nowhere", busName + ".Pause", nil},
	} {
		if _, err := c.call(p.path, p.method, p.args...); errorName(err) != dbusError+"AccessDenied" {
			t.Errorf("%s %s: %v, want AccessDenied", p.path, p.method, err)
		}
	}
	for _, r := range w.records(11) {
		if r.UID != nil || r.Decision != "deny" || r.Policy != "no-identity" {
			t.Errorf("record %+v of a caller that nobody knows", r)
		}
	}
	if got := m.commands(); got != nil {
		t.Errorf("QEMU was told %q, want nothing", got)
	}
}
