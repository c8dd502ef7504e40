package bridge_test

import (
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"qmp-dbus-bridge/bridge/endpoint"
	"qmp-dbus-bridge/e2e/rig"
	"qmp-dbus-bridge/qmp/qmptest"
)

// common is a command that every role may run.
const common = "query-pci"

// What those who are no administrators have of QEMU's places; see slots.go.
const (
	ofAUser = 5
	ofUsers = 6
)

// ask sends n calls of common without waiting. The arguments tell who it was.
func (c *caller) ask(n int) chan *dbus.Call {
	replies := make(chan *dbus.Call, n)
	for range n {
		c.Object(busName, qmpPath).Go(call, 0, replies, common, map[string]dbus.Variant{
			"Sender": dbus.MakeVariant(c.unique),
		})
	}
	return replies
}

// TestPlacesOfUsers has a QEMU that answers nothing. Of the seven places five at most are one user's, however
// many connections it has, six those of all who are no administrators, and an administrator finds one.
func TestPlacesOfUsers(t *testing.T) {
	m := newMachine(t, nil)
	m.hold(common, true)
	w := serve(t, m)
	var waiting []*qmptest.Request
	var replies []chan *dbus.Call
	for _, step := range []struct {
		user   rig.User
		places int
	}{
		{viewer, ofASender},
		{viewer, ofAUser - ofASender},
		{viewer, 0},
		{operator, ofUsers - ofAUser},
		{operator, 0},
		{helper, 0},
		{admin, inFlight - ofUsers},
		{admin, 0},
	} {
		c := w.as(step.user)
		replies = append(replies, c.ask(10))
		for range step.places {
			r := m.nextHeld()
			if sender := ticketOf(t, r).Sender; sender != c.unique {
				t.Errorf("uid %d is to have the next place, %s has it", step.user.UID, sender)
			}
			waiting = append(waiting, r)
		}
		m.noneHeld()
	}
	m.finish(common, waiting)
	for _, calls := range replies {
		w.as(admin).answered(calls)
	}
}

// TestManyConnections has one user fill all that it may from many connections, and keep it full. Others, of
// the same rights, get every other place that becomes free, from one connection each.
func TestManyConnections(t *testing.T) {
	const connections, each = 60, 10
	m := newMachine(t, nil)
	m.hold(common, true)
	w := serve(t, m)
	var waiting []*qmptest.Request
	var floods []chan *dbus.Call
	for range connections {
		floods = append(floods, w.as(viewer).ask(each))
	}
	for range ofAUser {
		waiting = append(waiting, m.nextHeld())
	}
	m.noneHeld()
	other := w.as(operator)
	const calls = 8
	replies := other.ask(calls)
	waiting = append(waiting, m.nextHeld()) // the sixth place
	if sender := ticketOf(t, waiting[ofAUser]).Sender; sender != other.unique {
		t.Fatalf("the place that one user left was given to %s", sender)
	}
	if err := other.BusObject().Call("org.freedesktop.DBus.GetId", 0).Err; err != nil { // the bus has passed all on
		t.Fatal(err)
	}
	get[string](w.as(admin), "Name") // and the bridge has read them
	var started []bool
	for len(started) < 2*(calls-1) {
		waiting[0].Return("{}")
		waiting = append(waiting[1:], m.nextHeld())
		started = append(started, ticketOf(t, waiting[ofUsers-1]).Sender == other.unique)
	}
	turns := 0
	for i, isOther := range started {
		if isOther {
			turns++
		}
		if behind := (i+1)/2 - turns; behind > 1 {
			t.Fatalf("after %d places, the user with one connection got %d: %v", i+1, turns, started)
		}
	}
	m.finish(common, waiting)
	w.as(admin).answered(replies)
	for _, calls := range floods {
		w.as(admin).answered(calls)
	}
}

// TestStuckCommands has administrators' commands that QEMU never answers keep their places, and those who are
// not administrators go on with what is left; when the connection to QEMU ends, all are answered.
func TestStuckCommands(t *testing.T) {
	m := newMachine(t, nil)
	m.hold("wait", true)
	w := serve(t, m)
	stuck := w.as(admin).pipeline(ofASender)
	for range ofASender {
		m.nextHeld()
	}
	c := w.as(viewer)
	for range 20 {
		if _, err := c.execute(common); err != nil {
			t.Fatal(err)
		}
	}
	m.die()
	for range ofASender {
		select {
		case reply := <-stuck:
			if got := errorName(reply.Err); got != ourError+"Disconnected" {
				t.Errorf("a stuck call ended with %q", got)
			}
		case <-time.After(rig.Timeout):
			t.Fatal("a stuck call was not answered")
		}
	}
}

// TestUrgentPlacesOfUsers is TestPlacesOfUsers for commands out of band.
func TestUrgentPlacesOfUsers(t *testing.T) {
	m := newMachine(t, map[string]string{"query-qmp-schema": yankSchema})
	m.die()
	m.listen(qmptest.Options{Greeting: greetingOOB})
	m.hold("query-yank", true)
	w := serve(t, m)
	var waiting []*qmptest.Request
	var replies []chan *dbus.Call
	for _, step := range []struct {
		user rig.User
		gets int
	}{
		{viewer, 2}, {viewer, 2}, {viewer, 0}, // a user that is no administrator has four at most
		{operator, 2}, {operator, 0}, // all of them six
		{admin, 2}, {admin, 0},
	} {
		c, calls := w.as(step.user), make(chan *dbus.Call, 3)
		for range cap(calls) {
			c.Object(busName, qmpPath).Go(call, 0, calls, "query-yank", none)
		}
		replies = append(replies, calls)
		for range step.gets {
			waiting = append(waiting, m.nextHeld())
		}
		m.noneHeld()
	}
	m.finish("query-yank", waiting)
	for _, calls := range replies {
		w.as(admin).answered(calls)
	}
}

// TestSharesOfUsers has two users who are no administrators hold all that they may have waiting while QEMU answers
// nothing: an administrator still reads properties, and has commands executed, in turn and out of band.
func TestSharesOfUsers(t *testing.T) {
	m := newMachine(t, map[string]string{"query-qmp-schema": yankSchema})
	m.die()
	m.listen(qmptest.Options{Greeting: greetingOOB})
	m.hold(common, true)
	w := serve(t, m)
	var replies []chan *dbus.Call
	for _, share := range []struct {
		user   rig.User
		places int
	}{{viewer, ofASender}, {viewer, ofAUser - ofASender}, {operator, ofUsers - ofAUser}} {
		replies = append(replies, w.as(share.user).ask(share.places))
	}
	var waiting []*qmptest.Request
	for range ofUsers {
		waiting = append(waiting, m.nextHeld())
	}
	large := largestArgument(t, w)
	var flooders []*caller
	for _, user := range []rig.User{viewer, operator} {
		for range 4 { // of two calls: half of what may wait
			c := w.as(user)
			get[string](c, "Status") // who is not known yet counts with those who may be administrators
			flooders = append(flooders, c)
		}
	}
	for _, c := range flooders {
		calls := make(chan *dbus.Call, 2)
		for range cap(calls) {
			c.Object(busName, qmpPath).Go(callJSON, 0, calls, common, large)
		}
		if err := c.BusObject().Call("org.freedesktop.DBus.GetId", 0).Err; err != nil { // the bus has passed all on
			t.Fatal(err)
		}
		replies = append(replies, calls)
	}
	c := w.as(admin)
	if status := get[string](c, "Status"); status != "running" {
		t.Errorf("Status = %q, want running", status)
	}
	if _, err := c.execute("query-yank"); err != nil {
		t.Errorf("a command out of band: %v", err)
	}
	calls := c.ask(1)
	waiting = append(waiting, m.nextHeld())
	m.finish(common, waiting)
	c.answered(calls)
	refused := 0
	for _, calls := range replies {
		for range cap(calls) {
			if errorName((<-calls).Err) == dbusError+"LimitsExceeded" {
				refused++
			}
		}
	}
	if refused == 0 {
		t.Error("the users had no more waiting than they may")
	}
}

// largestArgument makes a call of common by CallJson so large that sixteen of them are all that may wait, but for some bytes.
func largestArgument(t *testing.T, w *world) string {
	t.Helper()
	const sender = 16 // what the bus adds to the header
	message := rig.CallMessage(busName, qmpPath, "org.qemu.VM1.QMP", "CallJson", common, "")
	empty := len(rig.DialRaw(t, admin, w.bus.Address).Encode(t, message))
	return strings.Repeat("x", endpoint.MaxQueuedTotal/16-endpoint.CallCost-8-sender-empty)
}
