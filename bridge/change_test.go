package bridge_test

import (
	"encoding/json"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"

	"qmp-dbus-bridge/qmp/qmptest"
)

// changes are the PropertiesChanged of the VM's object.
func (c *caller) changes() <-chan *dbus.Signal {
	c.tb.Helper()
	return c.watch(dbus.WithMatchInterface(propsIf), dbus.WithMatchObjectPath(vmPath))
}

// changed waits for a PropertiesChanged and returns what it tells.
func changed(tb testing.TB, signals <-chan *dbus.Signal) map[string]any {
	tb.Helper()
	s := next(tb, signals)
	if s.Name != propsIf+".PropertiesChanged" || s.Body[0] != busName || len(s.Body[2].([]string)) != 0 {
		tb.Fatalf("signal %s%v, want PropertiesChanged", s.Name, s.Body)
	}
	told := map[string]any{}
	for name, v := range s.Body[1].(map[string]dbus.Variant) {
		told[name] = v.Value()
	}
	return told
}

// unchanged fails if a PropertiesChanged comes.
func unchanged(tb testing.TB, signals <-chan *dbus.Signal) {
	tb.Helper()
	select {
	case s := <-signals:
		tb.Errorf("signal %s%v, want none", s.Name, s.Body)
	case <-time.After(50 * time.Millisecond):
	}
}

// TestPauseShows has QEMU take its time to tell its status: Pause returns only after the
// property shows it, and one PropertiesChanged tells all of it.
func TestPauseShows(t *testing.T) {
	m := newMachine(t, nil)
	c := serve(t, m).as(admin)
	changes := c.changes()
	m.script("query-status", func(_ *qmptest.QEMU, r *qmptest.Request) { r.ReturnAfter(50*time.Millisecond, paused) })
	if err := c.vm("Pause"); err != nil {
		t.Fatal(err)
	}
	if status, running := get[string](c, "Status"), get[bool](c, "Running"); status != "paused" || running {
		t.Errorf("after Pause: Status = %q, Running = %v", status, running)
	}
	if diff := cmp.Diff(map[string]any{"Status": "paused", "Running": false}, changed(t, changes)); diff != "" {
		t.Errorf("PropertiesChanged (-want +got):\n%s", diff)
	}
	unchanged(t, changes)
}

// TestPauseDuringRefresh has a query-status under way when Pause comes: that one may tell what
// was before, so Pause waits for another.
func TestPauseDuringRefresh(t *testing.T) {
	m := newMachine(t, nil)
	c := serve(t, m).as(admin)
	m.hold("query-status", true)
	m.client().Event("STOP", "")
	old := m.nextHeld()
	done := c.Object(busName, vmPath).Go(busName+".Pause", 0, make(chan *dbus.Call, 1)).Done
	m.noneHeld()
	old.Return(running)
	fresh := m.nextHeld()
	select {
	case <-done:
		t.Error("Pause returned before the status was asked again")
	case <-time.After(50 * time.Millisecond):
	}
	fresh.Return(paused)
	if reply := <-done; reply.Err != nil {
		t.Error(reply.Err)
	}
	if status := get[string](c, "Status"); status != "paused" {
		t.Errorf("Status = %q, want paused", status)
	}
}

// TestRefreshesCoalesce has 1000 events at once: few query-status come of that, and when nothing
// has changed, no PropertiesChanged.
func TestRefreshesCoalesce(t *testing.T) {
	m := newMachine(t, nil)
	w := serve(t, m)
	changes, events := w.as(admin).changes(), w.as(admin).watch(dbus.WithMatchInterface(eventsIf))
	var asked atomic.Int32
	status := running
	m.script("query-status", func(_ *qmptest.QEMU, r *qmptest.Request) {
		asked.Add(1)
		r.ReturnAfter(time.Millisecond, status)
	})
	for range 1000 {
		m.client().Event("STOP", "")
	}
	for range 1000 {
		next(t, events)
	}
	unchanged(t, changes)
	if n := asked.Load(); n < 1 || n > 100 {
		t.Errorf("query-status came %d times for 1000 events", n)
	}
	m.answer("query-status", paused)
	m.script("query-status", nil)
	m.client().Event("STOP", "")
	if diff := cmp.Diff(map[string]any{"Status": "paused", "Running": false}, changed(t, changes)); diff != "" {
		t.Errorf("PropertiesChanged (-want +got):\n%s", diff)
	}
}

// TestChangesInOrder has the status change with each event, and readers that keep what they were
// told: the last that they were told is how it ended.
func TestChangesInOrder(t *testing.T) {
	m := newMachine(t, nil)
	c := serve(t, m).as(admin)
	changes := c.changes()
	const rounds = 200
	var n atomic.Int32
	m.script("query-status", func(_ *qmptest.QEMU, r *qmptest.Request) {
		status, _ := json.Marshal(fmt.Sprint("status ", n.Add(1)))
		r.Return(`{"status": ` + string(status) + `, "running": true}`)
	})
	for range rounds {
		if err := c.vm("Resume"); err != nil {
			t.Fatal(err)
		}
	}
	last := get[string](c, "Status")
	for {
		told := changed(t, changes)["Status"]
		if told == last {
			break
		}
	}
	unchanged(t, changes)
}
