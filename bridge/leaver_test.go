package bridge_test

import (
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"qmp-dbus-bridge/e2e/rig"
	"qmp-dbus-bridge/qmp/qmptest"
)

// TestLeavers has senders leave while their calls are in flight, wait for a place, or have
// just got one: afterwards there are seven places again, and no call of theirs is left.
func TestLeavers(t *testing.T) {
	m := newMachine(t, nil)
	m.hold("wait", true)
	w := serve(t, m)
	stays := w.as(admin)
	kept := stays.pipeline(ofASender)
	waiting := []*qmptest.Request{}
	for range ofASender {
		waiting = append(waiting, m.nextHeld())
	}
	for range 3 { // these take the rest or wait, and go
		c := w.as(admin)
		c.pipeline(10)
		get[string](w.as(admin), "Status")
		c.Close()
		rig.Eventually(t, "it has gone", func() bool { return !stays.owned(c.unique) })
	}
	for range inFlight - ofASender {
		waiting = append(waiting, m.nextHeld())
	}
	m.finish("wait", waiting)
	stays.answered(kept)
	checkPlaces(t, m, w)
}

// TestLeaversAtRandom has senders come and go at all moments.
func TestLeaversAtRandom(t *testing.T) {
	m := newMachine(t, nil)
	w := serve(t, m)
	stays := w.as(admin)
	for round := range 300 {
		c := w.as(admin)
		c.pipeline(ofASender + 2)
		time.Sleep(time.Duration(round%20) * 20 * time.Microsecond)
		c.Close()
		if round%10 == 0 {
			if _, err := stays.execute("wait"); err != nil {
				t.Error(err)
			}
		}
	}
	checkPlaces(t, m, w)
}

// TestLeaverHeldUp has a sender get a place while no call may start, since the bus does not take
// what the bridge writes, and leave before it can use that.
func TestLeaverHeldUp(t *testing.T) {
	m := newMachine(t, nil)
	m.hold("wait", true)
	w := serve(t, m)
	a, b, leaver := w.as(admin), w.as(admin), w.as(admin)
	ofA, ofB := a.pipeline(ofASender), b.pipeline(inFlight-ofASender)
	var waiting []*qmptest.Request
	for range inFlight {
		waiting = append(waiting, m.nextHeld())
	}
	leaver.pipeline(1)
	m.noneHeld()

	w.bus.Signal(t, syscall.SIGSTOP)
	for range 10_000 {
		m.client().Event("RESET", `{"text": "`+strings.Repeat("x", 1000)+`"}`)
	}
	leaver.Close()
	waiting[0].Return("{}")
	w.sync() // now the place is the leaver's
	w.bus.Signal(t, syscall.SIGCONT)
	rig.Eventually(t, "it has gone", func() bool { return !b.owned(leaver.unique) })
	m.finish("wait", waiting[1:])
	a.answered(ofA)
	b.answered(ofB)
	checkPlaces(t, m, w)
}

// checkPlaces checks that there are seven places, no more and no less, and gives them back. What leavers sent may have one
// still, for as long as it takes: it is of another command, which is answered at once.
func checkPlaces(t *testing.T, m *machine, w *world) {
	t.Helper()
	const command, each = "place", 10
	m.hold(command, true)
	a, b := w.as(admin), w.as(admin)
	ofA, ofB := a.pipelineOf(command, each), b.pipelineOf(command, each)
	var waiting []*qmptest.Request
	for range inFlight {
		waiting = append(waiting, m.nextHeld())
	}
	checkFlight(t, waiting)
	m.noneHeld()
	m.finish(command, waiting)
	a.answered(ofA)
	b.answered(ofB)
	executed := slices.DeleteFunc(m.commands(), func(line string) bool { return !strings.HasPrefix(line, command+" ") })
	if len(executed) != 2*each {
		t.Errorf("%d commands were executed, want %d", len(executed), 2*each)
	}
}
