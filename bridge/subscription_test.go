package bridge_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"

	"qmp-dbus-bridge/e2e/rig"
	"qmp-dbus-bridge/qmp/qmptest"
)

// numbered are event names.
func numbered(n int) []string {
	var names []string
	for i := range n {
		names = append(names, fmt.Sprint("EVENT_", i))
	}
	return names
}

// TestSubscribeLimits subscribes up to the limits and one past them; what is refused leaves
// the rest as it was.
func TestSubscribeLimits(t *testing.T) {
	long := strings.Repeat("X", 255)
	m := newMachine(t, map[string]string{"query-qmp-schema": schemaOf(t, nil, append(numbered(66), long, long+"X"))})
	c := serve(t, m).as(admin)
	signals := c.watch(dbus.WithMatchInterface(eventsIf))
	for _, test := range []struct {
		name   string
		method string
		events []string
		err    string
	}{
		{"too many", "Subscribe", numbered(65), dbusError + "LimitsExceeded"},
		{"a name too long", "Subscribe", []string{long + "X"}, dbusError + "InvalidArgs"},
		{"a long name", "Subscribe", []string{long}, ""},
		{"one too many with that", "Subscribe", numbered(64), dbusError + "LimitsExceeded"},
		{"all but that", "Unsubscribe", []string{long, "EVENT_65"}, ""},
		{"none", "Subscribe", nil, ""},
		{"as many as may be", "Subscribe", numbered(64), ""},
		{"the same again", "Subscribe", numbered(64), ""},
		{"one more", "Subscribe", []string{"EVENT_64"}, dbusError + "LimitsExceeded"},
		{"too many", "Unsubscribe", numbered(65), dbusError + "LimitsExceeded"},
		{"one less", "Unsubscribe", []string{"EVENT_0"}, ""},
		{"another", "Subscribe", []string{"EVENT_64"}, ""},
	} {
		if err := c.vm(test.method, test.events); errorName(err) != test.err {
			t.Errorf("%s: %s = %v, want %q", test.name, test.method, err, test.err)
		}
	}
	for n := range 66 {
		m.client().Event(fmt.Sprint("EVENT_", n), "")
	}
	for n := 1; n <= 64; n++ { // not 0, not 65
		if s := next(t, signals); s.Name != eventsIf+fmt.Sprint(".Event", n) {
			t.Fatalf("signal %s%v, want Event%d", s.Name, s.Body, n)
		}
	}
}

// TestNoSuchEvent: what is no event is refused, and a signal's name, or one that is misspelt, gets the event's.
func TestNoSuchEvent(t *testing.T) {
	m := newMachine(t, nil)
	w := serve(t, m)
	for name, want := range map[string]string{
		"VncConnected":  "there is no event VncConnected: did you mean VNC_CONNECTED?",
		"vnc_connected": "there is no event vnc_connected: did you mean VNC_CONNECTED?",
		"Stop":          "there is no event Stop: did you mean STOP?",
		"VNC_CONECTED":  "there is no event VNC_CONECTED: did you mean VNC_CONNECTED?",
		"DeviceDeleted": "there is no event DeviceDeleted; an event's name is like DEVICE_DELETED", // this QEMU has none such
		"OF_ANOTHER":    "there is no event OF_ANOTHER; an event's name is like DEVICE_DELETED",
		"":              "there is no event ; an event's name is like DEVICE_DELETED",
		"STOP\n":        "there is no event STOP\n: did you mean STOP?",
	} {
		for _, method := range []string{"Subscribe", "Unsubscribe"} {
			if err := w.as(stranger).vm(method, []string{name}); errorName(err) != dbusError+"AccessDenied" {
				t.Errorf("a stranger's %s(%q) = %v, want AccessDenied", method, name, err)
			}
			err := w.as(admin).vm(method, []string{"RESUME", name})
			if errorName(err) != dbusError+"InvalidArgs" || err.Error() != want {
				t.Errorf("%s(%q) = %v, want %s", method, name, err, want)
			}
		}
	}
	c := w.as(admin)
	err := c.vm("Subscribe", []string{"RESUME", "DEVICE_DELETED"}) // which QEMUs have, but not this one
	if want := "this QEMU has no event DEVICE_DELETED"; errorName(err) != dbusError+"NotSupported" || err.Error() != want {
		t.Errorf("Subscribe = %v, want NotSupported: %s", err, want)
	}
	if err := c.vm("Unsubscribe", []string{"DEVICE_DELETED"}); err != nil {
		t.Errorf("Unsubscribe = %v", err)
	}
}

// TestSubscribedEventGoes has a QEMU come that lacks an event which the one before had: who subscribed to it can end that, once.
func TestSubscribedEventGoes(t *testing.T) {
	m := newMachine(t, map[string]string{"query-qmp-schema": schemaOf(t, nil, []string{"OF_ANOTHER", "STOP"})})
	c := serve(t, m).as(admin)
	changes := c.changes()
	if err := c.vm("Subscribe", []string{"OF_ANOTHER"}); err != nil {
		t.Fatal(err)
	}
	m.die()
	changed(t, changes)
	m.answer("query-qmp-schema", schemaOf(t, nil, []string{"STOP"}))
	m.listen(qmptest.Options{Greeting: strings.Replace(qmptest.Greeting, `"micro": 22`, `"micro": 23`, 1)})
	changed(t, changes)
	if err := c.vm("Unsubscribe", []string{"OF_ANOTHER"}); err != nil {
		t.Errorf("Unsubscribe: %v", err)
	}
	for _, method := range []string{"Unsubscribe", "Subscribe"} {
		if err := c.vm(method, []string{"OF_ANOTHER"}); errorName(err) != dbusError+"InvalidArgs" {
			t.Errorf("%s after that: %v, want InvalidArgs", method, err)
		}
	}
}

// TestSensitiveEvents has everybody listen: sensitive events and unknown ones come only to those
// that asked and may, the others to all, and those who may not ask are denied each.
func TestSensitiveEvents(t *testing.T) {
	m := newMachine(t, map[string]string{
		"query-qmp-schema": schemaOf(t, nil, []string{"STOP", "RESUME", "VNC_CONNECTED", "BLOCK_IO_ERROR", "NEW_EVENT"}),
	})
	w := serve(t, m)
	asked, silent := w.as(admin), w.as(admin)
	hear := map[string]<-chan *dbus.Signal{}
	for name, c := range map[string]*caller{"asked": asked, "silent": silent, "viewer": w.as(viewer), "stranger": w.as(stranger)} {
		hear[name] = c.watch(dbus.WithMatchInterface(eventsIf))
	}
	for _, user := range []rig.User{stranger, viewer, operator, helper} {
		for _, event := range []string{"VNC_CONNECTED", "BLOCK_IO_ERROR", "NEW_EVENT"} {
			if err := w.as(user).vm("Subscribe", []string{event}); errorName(err) != dbusError+"AccessDenied" {
				t.Errorf("uid %d: Subscribe(%q) = %v, want AccessDenied", user.UID, event, err)
			}
		}
	}
	if err := w.as(viewer).vm("Subscribe", []string{"STOP", "VNC_CONNECTED"}); errorName(err) != dbusError+"AccessDenied" {
		t.Errorf("Subscribe of one that may be had and one that may not = %v, want AccessDenied", err)
	}
	if err := asked.vm("Subscribe", []string{"VNC_CONNECTED", "NEW_EVENT", "STOP"}); err != nil {
		t.Fatal(err)
	}
	for _, event := range []string{"VNC_CONNECTED", "BLOCK_IO_ERROR", "NEW_EVENT", "STOP"} {
		m.client().Event(event, `{"secret": "x"}`)
	}
	want := map[string][]string{
		"asked": {"VncConnected", "NewEvent", "Stop"}, "silent": {"Stop"}, "viewer": {"Stop"}, "stranger": {"Stop"},
	}
	for name, members := range want {
		for _, member := range members {
			if s := next(t, hear[name]); s.Name != eventsIf+"."+member {
				t.Errorf("%s received %s, want %s", name, s.Name, member)
			}
		}
	}
	if err := asked.vm("Unsubscribe", []string{"VNC_CONNECTED"}); err != nil {
		t.Fatal(err)
	}
	m.client().Event("VNC_CONNECTED", "")
	m.client().Event("RESUME", "")
	for name := range want {
		if s := next(t, hear[name]); s.Name != eventsIf+".Resume" {
			t.Errorf("%s received %s, want Resume", name, s.Name)
		}
	}
}

// TestSubscribersLeave has subscribers leave, also right after they asked: nothing is sent to
// them any more. A monitor of the bus sees what is sent to those who are not there.
func TestSubscribersLeave(t *testing.T) {
	m := newMachine(t, nil)
	w := serve(t, m)
	stays := w.as(admin)
	if err := stays.vm("Subscribe", []string{"VNC_CONNECTED"}); err != nil {
		t.Fatal(err)
	}
	var names []string
	for n := range 40 {
		c := w.as(admin)
		names = append(names, c.unique)
		if n%2 == 0 {
			if err := c.vm("Subscribe", []string{"VNC_CONNECTED"}); err != nil {
				t.Fatal(err)
			}
		} else {
			get[string](c, "Status") // so that it is known, and executed at once
			c.Object(busName, vmPath).Go(busName+".Subscribe", dbus.FlagNoReplyExpected, nil, []string{"VNC_CONNECTED"})
			time.Sleep(time.Duration(n) * 10 * time.Microsecond)
		}
		c.Close()
	}
	for _, name := range names {
		rig.Eventually(t, "it has gone", func() bool { return !stays.owned(name) })
	}
	sent := w.as(admin).eavesdrop()
	rig.Eventually(t, "the event is sent to the one alone who is there", func() bool { // the bridge is told that they go as we were
		m.client().Event("VNC_CONNECTED", "")
		m.client().Event("RESET", "")
		return slices.Equal(destinations(sent, "VncConnected", "Reset"), []string{stays.unique})
	})
}

// destinations are those of the signals of one name before the first of another.
func destinations(sent <-chan *dbus.Message, member, until string) (to []string) {
	for message := range sent {
		switch message.Headers[dbus.FieldMember].Value() {
		case member:
			to = append(to, message.Headers[dbus.FieldDestination].Value().(string))
		case until:
			return to
		}
	}
	return to
}

// TestSubscribeAudit has each event's record tell how its Subscribe ended, also where another event or the limit
// refused it.
func TestSubscribeAudit(t *testing.T) {
	m := newMachine(t, nil)
	w := newWorld(t, m.dial)
	w.limits.Subscriptions = 2
	w.join()
	w.run()
	c := w.as(viewer)
	for _, events := range [][]string{
		{"RESET", "VNC_CONNECTED"}, {"VNC_CONNECTED", "RESET"}, {"RESET", "RESUME"}, {"RESET", "STOP"},
	} {
		_ = c.vm("Subscribe", events)
	}
	const denied, exceeded = dbusError + "AccessDenied", dbusError + "LimitsExceeded"
	want := []record{
		{Action: "event:RESET", Decision: "allow", Policy: "viewer", Result: denied},
		{Action: "event:VNC_CONNECTED", Decision: "deny", Policy: "default-deny", Result: denied},
		{Action: "subscribe", Decision: "allow", Policy: "viewer", Result: denied},
		{Action: "event:VNC_CONNECTED", Decision: "deny", Policy: "default-deny", Result: denied},
		{Action: "subscribe", Decision: "allow", Policy: "viewer", Result: denied},
		{Action: "event:RESET", Decision: "allow", Policy: "viewer", Result: "ok"},
		{Action: "event:RESUME", Decision: "allow", Policy: "viewer", Result: "ok"},
		{Action: "subscribe", Decision: "allow", Policy: "viewer", Result: "ok"},
		{Action: "event:RESET", Decision: "allow", Policy: "viewer", Result: exceeded},
		{Action: "event:STOP", Decision: "allow", Policy: "viewer", Result: exceeded},
		{Action: "subscribe", Decision: "allow", Policy: "viewer", Result: exceeded},
	}
	got := w.records(len(want))
	for i := range want {
		want[i].Caller, want[i].UID = c.unique, got[i].UID
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

// TestNamesOfSubscribers has subscribers lose a name by which they may hear an event, and get one by which they may not,
// while they are known and after others took their place among those: they hear it no more.
func TestNamesOfSubscribers(t *testing.T) {
	const policy = `permit (principal in Role::"viewer", action == Action::"event:VNC_CONNECTED", resource)
  when { principal.busNames.contains("com.example.May") && !principal.busNames.contains("com.example.MayNot") };
permit (principal in Role::"viewer", action == Action::"stop", resource) when { principal.busNames.contains("com.example.May") };`
	changes := map[string]func(*dbus.Conn) error{
		"loses": func(c *dbus.Conn) error { _, err := c.ReleaseName("com.example.May"); return err },
		"gets":  func(c *dbus.Conn) error { _, err := c.RequestName("com.example.MayNot", 0); return err },
	}
	for name, change := range changes {
		for _, others := range []int{0, 2} {
			t.Run(fmt.Sprint(name, " after ", others), func(t *testing.T) {
				m := newMachine(t, nil)
				w := newWorld(t, m.dial)
				w.limits.Callers, w.cedar = 2, []string{policy}
				w.join()
				w.run()
				c := w.as(viewer)
				hear := c.watch(dbus.WithMatchInterface(eventsIf))
				if _, err := c.RequestName("com.example.May", 0); err != nil {
					t.Fatal(err)
				}
				asked := 0
				rig.Eventually(t, "the bridge has heard of the name", func() bool {
					asked++
					may, err := c.call(vmPath, busName+".CanExecute", "stop")
					return err == nil && may == true
				})
				if err := c.vm("Subscribe", []string{"VNC_CONNECTED"}); err != nil {
					t.Fatal(err)
				}
				m.client().Event("VNC_CONNECTED", "")
				if s := heard(t, hear); s.Name != eventsIf+".VncConnected" {
					t.Fatalf("received %s, want VncConnected", s.Name)
				}
				for range others {
					get[string](w.as(viewer), "Status")
				}
				if err := change(c.Conn); err != nil {
					t.Fatal(err)
				}
				before := asked + 2 + others
				end := w.records(before + 1)[before]
				if want := (record{
					Caller: c.unique, UID: end.UID, Action: "event:VNC_CONNECTED", Decision: "deny", Policy: "default-deny", Result: dbusError + "AccessDenied",
				}); end != want {
					t.Errorf("recorded %+v, want %+v", end, want)
				}
				m.client().Event("VNC_CONNECTED", "")
				m.client().Event("STOP", "")
				if s := heard(t, hear); s.Name != eventsIf+".Stop" {
					t.Errorf("received %s, want Stop", s.Name)
				}
			})
		}
	}
}

// heard is the next event of QEMU's, whatever the bus itself says meanwhile about names.
func heard(t *testing.T, signals <-chan *dbus.Signal) *dbus.Signal {
	t.Helper()
	for {
		if s := next(t, signals); strings.HasPrefix(s.Name, eventsIf) {
			return s
		}
	}
}

// eavesdrop makes c a monitor of the bus: it gets all messages and can send none.
func (c *caller) eavesdrop() <-chan *dbus.Message {
	c.tb.Helper()
	if err := c.BusObject().Call("org.freedesktop.DBus.Monitoring.BecomeMonitor", 0, []string{}, uint32(0)).Err; err != nil {
		c.tb.Fatal(err)
	}
	messages := make(chan *dbus.Message, 1000)
	c.Eavesdrop(messages)
	return messages
}
