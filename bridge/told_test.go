package bridge_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"qmp-dbus-bridge/e2e/rig"
	"qmp-dbus-bridge/qmp/qmptest"
)

const asleep = `{"status": "suspended", "singlestep": false, "running": false}`

// TestToldByEvent has QEMU not answer while RESUME tells that it runs: that is shown all the same, and the answer to what
// was asked before, which tells what was before, not any more.
func TestToldByEvent(t *testing.T) {
	m := newMachine(t, map[string]string{"query-status": paused})
	w := serve(t, m)
	c := w.as(admin)
	changes := c.changes()
	m.hold("query-migrate", true)
	m.client().Event("STOP", "")
	migrate := m.nextHeld() // so query-status has been answered
	m.hold("query-status", true)
	m.client().Event("RESUME", "")
	if diff := cmp.Diff(map[string]any{"Status": "running", "Running": true}, changed(t, changes)); diff != "" {
		t.Errorf("RESUME, PropertiesChanged (-want +got):\n%s", diff)
	}
	if status := get[string](c, "Status"); status != "running" {
		t.Errorf("Status = %q, want running", status)
	}
	m.hold("query-migrate", false)
	migrate.Return("{}")
	m.nextHeld().Return(running)
	m.hold("query-status", false)
	m.answer("query-status", `{"status": "io-error", "running": false}`)
	m.client().Event("STOP", "")
	if diff := cmp.Diff(map[string]any{"Status": "io-error", "Running": false}, changed(t, changes)); diff != "" {
		t.Errorf("the next change is not that by STOP (-want +got):\n%s", diff)
	}
}

// TestShownOneByOne has a round of several queries of which the second is not answered: what the first one told is shown.
func TestShownOneByOne(t *testing.T) {
	m := newMachine(t, nil)
	w := serve(t, m)
	changes := w.as(admin).changes()
	m.answer("query-status", paused)
	m.hold("query-migrate", true)
	m.client().Event("STOP", "")
	held := m.nextHeld()
	if diff := cmp.Diff(map[string]any{"Status": "paused", "Running": false}, changed(t, changes)); diff != "" {
		t.Errorf("PropertiesChanged (-want +got):\n%s", diff)
	}
	m.hold("query-migrate", false)
	held.Return("{}")
}

// TestNotToldByEvent has a QEMU whose guest may sleep on after RESUME: its status is asked for.
func TestNotToldByEvent(t *testing.T) {
	m := newMachine(t, map[string]string{"query-status": paused})
	m.die()
	m.listen(qmptest.Options{Greeting: strings.NewReplacer(`"minor": 2, "major": 7`, `"minor": 0, "major": 10`).Replace(qmptest.Greeting)})
	w := serve(t, m)
	changes := w.as(admin).changes()
	m.answer("query-status", asleep)
	m.client().Event("RESUME", "")
	if diff := cmp.Diff(map[string]any{"Status": "suspended"}, changed(t, changes)); diff != "" {
		t.Errorf("PropertiesChanged (-want +got):\n%s", diff)
	}
}

// TestToldBeforeShown has RESUME come while a QEMU is read at first: it is not shown before all of it is.
func TestToldBeforeShown(t *testing.T) {
	m := newMachine(t, map[string]string{"query-status": paused})
	m.hold("query-migrate", true) // the last one
	w := newWorld(t, m.dial)
	connected := w.connecting()
	last := m.nextHeld()
	m.answer("query-status", running)
	m.client().Event("RESUME", "")
	m.hold("query-migrate", false)
	last.Return("{}")
	if err := <-connected; err != nil {
		t.Fatal(err)
	}
	if err := w.bridge.Join(t.Context(), w.bus.Address, w.policy()); err != nil {
		t.Fatal(err)
	}
	w.run()
	c := w.as(admin)
	rig.Eventually(t, "what RESUME told is shown", func() bool { return get[string](c, "Status") == "running" })
}
