package bridge_test

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"qmp-dbus-bridge/e2e/rig"
	"qmp-dbus-bridge/qmp/qmptest"
)

// What QEMU gets at a time; see slots.go.
const (
	inFlight  = 7
	ofASender = 4
)

// ticket is the arguments of the commands of these tests.
type ticket struct {
	Sender string
	Number int
}

func ticketOf(tb testing.TB, r *qmptest.Request) ticket {
	tb.Helper()
	var k ticket
	if err := json.Unmarshal(r.Arguments, &k); err != nil {
		tb.Fatal(err)
	}
	return k
}

// pipeline sends n calls of a withheld command without waiting, numbered.
func (c *caller) pipeline(n int) chan *dbus.Call { return c.pipelineOf("wait", n) }

func (c *caller) pipelineOf(command string, n int) chan *dbus.Call {
	replies := make(chan *dbus.Call, n)
	for i := range n {
		c.Object(busName, qmpPath).Go(call, 0, replies, command, map[string]dbus.Variant{
			"Sender": dbus.MakeVariant(c.unique), "Number": dbus.MakeVariant(i),
		})
	}
	return replies
}

// answered waits for the replies of a pipeline, which are to succeed.
func (c *caller) answered(replies chan *dbus.Call) {
	c.tb.Helper()
	for n := range cap(replies) {
		select {
		case reply := <-replies:
			if reply.Err != nil {
				c.tb.Error(reply.Err)
			}
		case <-time.After(rig.Timeout):
			c.tb.Fatalf("%d of %d calls were answered", n, cap(replies))
		}
	}
}

// TestOrder has a sender that nobody knows yet pipeline calls to a QEMU that takes its time:
// they are executed in order, four at a time, while others are served.
func TestOrder(t *testing.T) {
	m := newMachine(t, nil)
	m.hold("wait", true)
	w := serve(t, m)
	other := w.as(admin)
	c := w.as(admin)
	const calls = 200
	replies := c.pipeline(calls)
	var waiting []*qmptest.Request
	for n := range calls {
		if n == ofASender {
			m.noneHeld()
			get[string](other, "Status")
		}
		if len(waiting) == ofASender {
			waiting[0].Return("{}")
			waiting = waiting[1:]
		}
		r := m.nextHeld()
		if k := ticketOf(t, r); k.Number != n {
			t.Fatalf("call %d was executed as number %d", k.Number, n)
		}
		waiting = append(waiting, r)
	}
	m.finish("wait", waiting)
	c.answered(replies)
}

// TestTurns has three senders want more than there is room for: no more than seven commands are
// in flight, four of a sender, and the senders take turns for the places.
func TestTurns(t *testing.T) {
	m := newMachine(t, nil)
	m.hold("wait", true)
	w := serve(t, m)
	const calls, senders = 20, 3
	var pipelines [senders]chan *dbus.Call
	var callers [senders]*caller
	var waiting []*qmptest.Request
	for i, arrive := range []int{ofASender, inFlight - ofASender, 0} {
		callers[i] = w.as(admin)
		pipelines[i] = callers[i].pipeline(calls)
		for range arrive {
			waiting = append(waiting, m.nextHeld())
		}
		m.noneHeld()
	}
	started := map[string]int{}
	last := callers[senders-1].unique
	const turns = 12 // of each, fewer than it has calls
	for done := range turns * senders {
		waiting[0].Return("{}")
		waiting = append(waiting[1:], m.nextHeld())
		started[ticketOf(t, waiting[inFlight-1]).Sender]++
		if done == 2 && started[last] != 1 {
			t.Errorf("of the first three places that became free the sender that had none got %d, want 1", started[last])
		}
		checkFlight(t, waiting)
	}
	for name, n := range started {
		if n < turns-2 || n > turns+2 {
			t.Errorf("of %d places %s got %d", turns*senders, name, n)
		}
	}
	m.finish("wait", waiting)
	for i, c := range callers {
		c.answered(pipelines[i])
	}
}

// TestLimitOfASender has places become free while the sender that asked first has all that one
// may have: the next one gets them.
func TestLimitOfASender(t *testing.T) {
	m := newMachine(t, nil)
	m.hold("wait", true)
	w := serve(t, m)
	greedy, other := w.as(admin), w.as(admin)
	const calls = 10
	var waiting []*qmptest.Request
	ofGreedy := greedy.pipeline(calls)
	for range ofASender {
		waiting = append(waiting, m.nextHeld())
	}
	ofOther := other.pipeline(calls)
	for range inFlight - ofASender {
		waiting = append(waiting, m.nextHeld())
	}
	m.noneHeld()
	for range calls - (inFlight - ofASender) {
		waiting[ofASender].Return("{}") // the other's first
		waiting = append(slices.Delete(waiting, ofASender, ofASender+1), m.nextHeld())
		checkFlight(t, waiting)
	}
	m.finish("wait", waiting)
	greedy.answered(ofGreedy)
	other.answered(ofOther)
}

// checkFlight checks what is in flight against the limits.
func checkFlight(t *testing.T, waiting []*qmptest.Request) {
	t.Helper()
	of := map[string]int{}
	for _, r := range waiting {
		k := ticketOf(t, r)
		if of[k.Sender]++; of[k.Sender] > ofASender {
			t.Fatalf("%d commands of %s in flight", of[k.Sender], k.Sender)
		}
	}
	if len(waiting) > inFlight {
		t.Fatalf("%d commands in flight", len(waiting))
	}
}

// TestOrderOfKinds has one sender mix calls that wait for QEMU with those that don't:
// they start in order, so a property read after a command that waits for a place, waits too.
func TestOrderOfKinds(t *testing.T) {
	m := newMachine(t, nil)
	m.hold("wait", true)
	w := serve(t, m)
	c := w.as(admin)
	replies := c.pipeline(ofASender + 1)
	read := c.Object(busName, vmPath).Go(propsIf+".Get", 0, make(chan *dbus.Call, 1), busName, "Status")
	var waiting []*qmptest.Request
	for range ofASender {
		waiting = append(waiting, m.nextHeld())
	}
	select {
	case <-read.Done:
		t.Error("a call overtook another of its sender")
	case <-time.After(50 * time.Millisecond):
	}
	waiting[0].Return("{}")
	waiting = append(waiting[1:], m.nextHeld())
	if reply := <-read.Done; reply.Err != nil {
		t.Error(reply.Err)
	}
	m.finish("wait", waiting)
	c.answered(replies)
}
