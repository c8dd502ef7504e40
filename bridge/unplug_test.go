package bridge_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"

	"qmp-dbus-bridge/e2e/rig"
	"qmp-dbus-bridge/qmp/qmptest"
)

const unplugMethod = busName + ".Device.Unplug"

// within is Unplug's options for a timeout.
func within(ms uint32) map[string]dbus.Variant {
	return map[string]dbus.Variant{"timeout": dbus.MakeVariant(ms)}
}

// forever is the longest that Unplug waits.
var forever = within(600_000)

// withDevices is a machine with n devices, dev0 and so on, and the commands of a captured QEMU.
func withDevices(t *testing.T, n int) *machine {
	t.Helper()
	m := newMachine(t, map[string]string{"query-qmp-schema": captured(t)["qmp-schema-7.2.22-x86_64.json"]})
	m.devices(0, n)
	return m
}

// devices makes dev<from> to dev<to-1> those that the machine has.
func (m *machine) devices(from, to int) {
	var list []string
	for i := from; i < to; i++ {
		list = append(list, fmt.Sprintf(`{"name": "dev%d", "type": "child<virtio-blk-pci>"}`, i))
	}
	m.answer(`qom-list {"path":"/machine/peripheral"}`, "["+strings.Join(list, ",")+"]")
}

// unplug calls Unplug of dev<n> without waiting for the answer.
func (c *caller) unplug(n int, options map[string]dbus.Variant) <-chan *dbus.Call {
	return c.Object(busName, at(fmt.Sprint("device/dev", n))).Go(unplugMethod, 0, make(chan *dbus.Call, 1), options).Done
}

// ends waits for a call's answer and checks the name of its error, which it returns.
func ends(t *testing.T, done <-chan *dbus.Call, want string) error {
	t.Helper()
	select {
	case reply := <-done:
		if got := errorName(reply.Err); got != want {
			t.Errorf("it ended with %q (%v), want %q", got, reply.Err, want)
		}
		return reply.Err
	case <-time.After(rig.Timeout):
		t.Fatal("it was not answered")
		return nil
	}
}

// waits fails if a call is answered after QEMU was asked for something.
func (w *world) waits(done <-chan *dbus.Call) {
	w.tb.Helper()
	w.sync()
	get[string](w.as(admin), "Name")
	select {
	case reply := <-done:
		w.tb.Errorf("it was answered, %v, want that it waits", reply.Err)
	default:
	}
}

// accepted waits until QEMU has got n device_del.
func (m *machine) accepted(n int) {
	m.tb.Helper()
	rig.Eventually(m.tb, "QEMU has got device_del", func() bool { return m.counts()["device_del"] == n })
}

// TestUnplugDenied has callers that may not, and arguments of all kinds: nothing reaches QEMU.
func TestUnplugDenied(t *testing.T) {
	m := withDevices(t, 1)
	w := serve(t, m)
	w.as(admin).objects()
	for _, user := range []rig.User{stranger, viewer, helper, operator} {
		for _, options := range []map[string]dbus.Variant{none, forever, {"nonsense": dbus.MakeVariant("x")}} {
			_, err := w.as(user).call(at("device/dev0"), unplugMethod, options)
			if errorName(err) != dbusError+"AccessDenied" {
				t.Errorf("uid %d, %v: %v, want AccessDenied", user.UID, options, err)
			}
		}
	}
	if got := m.commands(); got != nil {
		t.Errorf("QEMU was told %q, want nothing", got)
	}
}

// TestUnplugByPolicy has a policy that lets a viewer unplug one device: it is decided as device_del with its id.
func TestUnplugByPolicy(t *testing.T) {
	m := withDevices(t, 2)
	w := newWorld(t, m.dial)
	w.cedar = []string{`permit (principal in Role::"viewer", action == Action::"device_del", resource) when { context.arguments.id == "dev1" };`}
	w.join()
	w.run()
	c := w.as(viewer)
	ends(t, c.unplug(0, forever), dbusError+"AccessDenied")
	done := c.unplug(1, forever)
	m.accepted(1)
	if diff := cmp.Diff([]string{`device_del {"id":"dev1"}`}, m.commands()); diff != "" {
		t.Errorf("commands (-want +got):\n%s", diff)
	}
	m.client().Event("DEVICE_DELETED", `{"device": "dev1", "path": "/machine/peripheral/dev1"}`)
	ends(t, done, "")
}

// TestUnplug has a guest let go of a device: the object has gone when the call returns, and not before.
func TestUnplug(t *testing.T) {
	m := withDevices(t, 2)
	w := serve(t, m)
	c, signals := w.as(admin), w.as(viewer).watch(dbus.WithMatchInterface(managerIf))
	done := c.unplug(0, none)
	m.accepted(1)
	for _, other := range []string{
		`{"path": "/machine/peripheral/dev0/virtio-backend"}`, `{"device": "dev1", "path": "/machine/peripheral/dev1"}`,
		`{"device": "dev00", "path": "/"}`, `{"device": "", "path": "/"}`, `{"device": 0}`, ``,
	} {
		m.client().Event("DEVICE_DELETED", other)
	}
	m.client().Event("DEVICE_UNPLUG_GUEST_ERROR", `{"device": "dev1", "path": "/machine/peripheral/dev1"}`)
	w.waits(done)
	m.devices(1, 2)
	m.hold("qom-list", true)
	m.client().Event("DEVICE_DELETED", `{"device": "dev0", "path": "/machine/peripheral/dev0"}`)
	list := m.nextHeld()
	w.waits(done)
	m.hold("qom-list", false)
	list.Return(`[{"name": "dev1", "type": "child<virtio-blk-pci>"}]`)
	ends(t, done, "")
	if c.objects()["device/dev0"] != nil {
		t.Error("the device is still listed")
	}
	told(t, signals, "- device/dev0")
	if diff := cmp.Diff([]string{`device_del {"id":"dev0"}`}, m.commands()); diff != "" {
		t.Errorf("commands (-want +got):\n%s", diff)
	}
}

// TestUnplugEarly has a device that is gone before QEMU answers, as those that need no guest are.
func TestUnplugEarly(t *testing.T) {
	m := withDevices(t, 1)
	m.script("device_del", func(q *qmptest.QEMU, r *qmptest.Request) {
		m.devices(0, 0)
		q.Event("DEVICE_DELETED", `{"device": "dev0", "path": "/machine/peripheral/dev0"}`)
		r.Return("{}")
	})
	c := serve(t, m).as(admin)
	ends(t, c.unplug(0, forever), "")
	if all := c.objects(); len(all) != 0 {
		t.Errorf("objects %v, want none", all)
	}
}

// TestUnplugRefused has QEMU, or the guest, refuse: the caller is told in their words, and the device stays.
func TestUnplugRefused(t *testing.T) {
	const refused = ourError + "UnplugRefused"
	m := withDevices(t, 1)
	w := serve(t, m)
	c := w.as(admin)
	for i, test := range []struct{ event, data, text string }{
		{"DEVICE_UNPLUG_GUEST_ERROR", `{"device": "dev0", "path": "/machine/peripheral/dev0"}`, "the guest does not let go of the device dev0"},
		{"MEM_UNPLUG_ERROR", `{"device": "dev0", "msg": "it is in use\u0000"}`, "the guest does not let go of the device dev0: it is in use\uFFFD"},
	} {
		done := c.unplug(0, none)
		m.accepted(i + 1)
		m.client().Event(test.event, test.data)
		if err := ends(t, done, refused); err == nil || err.Error() != test.text {
			t.Errorf("%s: %v, want %q", test.event, err, test.text)
		}
	}
	m.script("device_del", func(_ *qmptest.QEMU, r *qmptest.Request) {
		r.Fail("GenericError", "Device dev0 is already in the process of unplug")
	})
	ends(t, c.unplug(0, none), ourError+"Qmp.GenericError")
	if c.objects()["device/dev0"] == nil {
		t.Error("the device is not listed")
	}
	for i, r := range w.records(3)[:3] {
		if want := []string{refused, refused, ourError + "Qmp.GenericError"}[i]; r.Action != "device_del" || r.Result != want {
			t.Errorf("record %+v, want %s", r, want)
		}
	}
}

// TestUnplugTwice has two callers unplug one device, which QEMU lets them after a while: both are told.
func TestUnplugTwice(t *testing.T) {
	m := withDevices(t, 1)
	w := serve(t, m)
	first, second := w.as(admin).unplug(0, forever), w.as(admin).unplug(0, forever)
	m.accepted(2)
	w.sync()
	m.client().Event("DEVICE_DELETED", `{"device": "dev0", "path": "/machine/peripheral/dev0"}`)
	ends(t, first, "")
	ends(t, second, "")
}

// TestUnplugTimeout has a guest that takes longer than the caller waits: the device is still listed, and goes when the guest lets
// go of it.
func TestUnplugTimeout(t *testing.T) {
	m := withDevices(t, 1)
	w := serve(t, m)
	c := w.as(admin)
	err := ends(t, c.unplug(0, within(1)), dbusError+"Timeout")
	if err == nil || !strings.Contains(err.Error(), "dev0 within 1 ms; it still may") {
		t.Errorf("%v, want that it still may happen", err)
	}
	if c.objects()["device/dev0"] == nil {
		t.Error("the device is not listed")
	}
	m.devices(0, 0)
	m.client().Event("DEVICE_DELETED", `{"device": "dev0", "path": "/machine/peripheral/dev0"}`)
	rig.Eventually(t, "the device has gone", func() bool { return len(c.objects()) == 0 })
}

// TestUnplugWithoutWaiting has a caller that wants to know only whether QEMU accepts it.
func TestUnplugWithoutWaiting(t *testing.T) {
	m := withDevices(t, 1)
	c := serve(t, m).as(admin)
	ends(t, c.unplug(0, within(0)), "")
	if c.objects()["device/dev0"] == nil {
		t.Error("the device is not listed")
	}
}

// TestUnplugOptions has options that are none, and the longest timeout and one more.
func TestUnplugOptions(t *testing.T) {
	m := withDevices(t, 1)
	w := serve(t, m)
	c := w.as(admin)
	for _, test := range []struct {
		name  string
		value any
		text  string
	}{
		{"timeout", uint32(600_001), "options.timeout: want milliseconds, from 0, not to wait, to 600000"},
		{"timeout", int64(-1), "options.timeout: want"},
		{"timeout", "1", "options.timeout: want"},
		{"timeout", 1.5, "options.timeout: want"},
		{"timeout", dbus.UnixFD(0), "options.timeout: "},
		{"Timeout", uint32(1), "options.Timeout: there is no such option; there is timeout"},
		{"id", "dev1", "options.id: there is no such option"},
		{"\uFFFE", "dev1", "options."},
	} {
		_, err := c.call(at("device/dev0"), unplugMethod, map[string]dbus.Variant{test.name: dbus.MakeVariant(test.value)})
		if errorName(err) != dbusError+"InvalidArgs" || !strings.HasPrefix(err.Error(), test.text) {
			t.Errorf("%s = %v: %v, want InvalidArgs, %s", test.name, test.value, err, test.text)
		}
	}
	if got := m.commands(); got != nil {
		t.Errorf("QEMU was told %q, want nothing", got)
	}
	done := c.unplug(0, forever)
	m.accepted(1)
	w.waits(done)
}

// TestUnplugIsLacked has a QEMU without device_del, and no QEMU.
func TestUnplugIsLacked(t *testing.T) {
	m := newMachine(t, nil)
	m.devices(0, 1)
	ends(t, serve(t, m).as(admin).unplug(0, none), dbusError+"NotSupported")
}

// TestUnplugWithoutQEMU has QEMU go before it answers, and while the guest takes its time.
func TestUnplugWithoutQEMU(t *testing.T) {
	for _, accepts := range []bool{false, true} {
		m := withDevices(t, 1)
		m.hold("device_del", true)
		w := serve(t, m)
		done := w.as(admin).unplug(0, forever)
		if r := m.nextHeld(); accepts {
			r.Return("{}")
			w.sync()
		}
		m.die()
		ends(t, done, ourError+"Disconnected")
	}
}

// TestUnplugPlaces has as many calls wait as may, of a sender, a user, all users, and in all: one more is refused, QEMU
// is not asked, and others' commands are executed as ever. When one ends, there is a place again.
func TestUnplugPlaces(t *testing.T) {
	const ofSender, ofUser, ofUsers, all = 16, 32, 48, 64
	m := withDevices(t, all+1)
	w := newWorld(t, m.dial)
	w.cedar = []string{`permit (principal in Role::"operator", action == Action::"device_del", resource);
permit (principal in Role::"viewer", action == Action::"device_del", resource);`}
	w.join()
	w.run()
	refused := func(c *caller) {
		t.Helper()
		ends(t, c.unplug(all, forever), dbusError+"LimitsExceeded")
	}
	var waiting []<-chan *dbus.Call
	fill := func(user rig.User) *caller {
		t.Helper()
		c := w.as(user)
		for range ofSender {
			waiting = append(waiting, c.unplug(len(waiting), forever))
		}
		m.accepted(len(waiting))
		refused(c)
		return c
	}
	fill(operator)
	fill(operator)
	refused(w.as(operator)) // that is ofUser
	fill(viewer)
	refused(w.as(viewer)) // ofUsers, though the user has ofSender only
	last := fill(admin)   // all
	refused(w.as(admin))
	if n := m.counts()["device_del"]; n != all || len(waiting) != all || ofUser != 2*ofSender || ofUsers != 3*ofSender {
		t.Errorf("QEMU has got %d device_del, want %d", n, all)
	}
	checkPlaces(t, m, w)
	m.client().Event("DEVICE_DELETED", `{"device": "dev63", "path": "/machine/peripheral/dev63"}`)
	ends(t, waiting[63], "")
	rig.Eventually(t, "there is a place again", func() bool { return last.takesPlace(m, all) })
}

// TestUnplugLeavers has callers leave while their calls wait, or just when they begin: nothing of them is left.
func TestUnplugLeavers(t *testing.T) {
	m := withDevices(t, 16)
	w := serve(t, m)
	leaver := w.as(admin)
	leaver.unplug(0, forever)
	m.accepted(1)
	leaver.Close()
	if r := w.records(1)[0]; r.Result != dbusError+"NoReply" {
		t.Errorf("record %+v, want NoReply", r)
	}
	stays := w.as(admin)
	const rounds = 5 // one more than would find places
	for round := range rounds {
		c, before := w.as(admin), m.counts()["device_del"]
		for i := range 16 {
			c.unplug(i, forever)
		}
		if round%2 == 0 {
			rig.Eventually(t, "some have reached QEMU", func() bool { return m.counts()["device_del"] > before })
		}
		c.Close()
		rig.Eventually(t, "it has gone", func() bool { return !stays.owned(c.unique) })
	}
	for i := range 64 {
		if i%16 == 0 {
			stays = w.as(admin)
		}
		rig.Eventually(t, "there is a place", func() bool { return stays.takesPlace(m, i%16) })
	}
	checkPlaces(t, m, w)
}

// takesPlace calls Unplug, and tells whether that is executed; else it is refused for want of a place.
func (c *caller) takesPlace(m *machine, n int) bool {
	c.tb.Helper()
	before := m.counts()["device_del"]
	done := c.unplug(n, forever)
	taken := false
	rig.Eventually(c.tb, "the call is refused or executed", func() bool {
		taken = m.counts()["device_del"] > before
		return taken || len(done) > 0
	})
	return taken
}
