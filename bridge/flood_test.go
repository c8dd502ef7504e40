package bridge_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/godbus/dbus/v5"

	"qmp-dbus-bridge/e2e/rig"
)

// TestFlood has QEMU send more events than can wait for a bus that does not read. When that goes
// on, each has come or is counted as lost, exactly, and the change of the properties is
// told, though it happened meanwhile.
func TestFlood(t *testing.T) {
	m := newMachine(t, nil)
	w := serve(t, m)
	c, other := w.as(admin), w.as(viewer)
	events, changes := c.watch(dbus.WithMatchInterface(eventsIf)), other.changes()
	get[string](c, "Status")
	w.bus.Signal(t, syscall.SIGSTOP)
	const count = 20_000
	data := `{"text": "` + strings.Repeat("x", 1000) + `"}` // together five times what may wait
	q := m.client()
	for n := range count {
		q.Event("RESET", data)
		if n == count/2 {
			m.answer("query-status", paused)
			q.Event("RESET", data)
		}
	}
	w.sync()
	w.bus.Signal(t, syscall.SIGCONT)

	var came, lost uint64
	for came+lost < count+1 {
		switch s := next(t, events); s.Name {
		case eventsIf + ".Reset":
			came++
		case eventsIf + ".Lost":
			lost += s.Body[0].(uint64)
		}
	}
	if came+lost != count+1 || lost == 0 || came == 0 {
		t.Errorf("%d events came, %d were lost, want %d together and some of each", came, lost, count+1)
	}
	t.Logf("%d came, %d were lost", came, lost)
	if told := changed(t, changes); fmt.Sprint(told) != "map[Running:false Status:paused]" {
		t.Errorf("PropertiesChanged tells %v", told)
	}
	if err := c.vm("Pause"); err != nil {
		t.Error(err)
	}
	q.Event("STOP", "")
	if s := next(t, events); s.Name != eventsIf+".Stop" {
		t.Errorf("signal %s, want Stop: none was lost since", s.Name)
	}
}

// TestSlowReader has one reader of the signals stop reading: the others get all, and calls are
// answered.
func TestSlowReader(t *testing.T) {
	m := newMachine(t, nil)
	w := serve(t, m)
	slow := rig.DialRaw(t, admin, w.bus.Address)
	slow.Send(t, rig.CallMessage("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "AddMatch", "type='signal'"))
	slow.Reply(t)
	c := w.as(admin)
	events := c.watch(dbus.WithMatchInterface(eventsIf))
	const count = 20_000
	for range count {
		m.client().Event("RESET", `{"text": "`+strings.Repeat("x", 1000)+`"}`)
	}
	var came, lost uint64
	for came+lost < count {
		if s := next(t, events); s.Name == eventsIf+".Lost" {
			lost += s.Body[0].(uint64)
		} else {
			came++
		}
	}
	if status := get[string](c, "Status"); status != "running" {
		t.Errorf("Status = %q, want running", status)
	}
	t.Logf("%d came, %d were lost", came, lost)
}
