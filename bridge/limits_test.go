package bridge_test

import (
	"os"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"

	"qmp-dbus-bridge/bridge"
	"qmp-dbus-bridge/e2e/rig"
	"qmp-dbus-bridge/qmp/qmptest"
)

func TestLimitsSet(t *testing.T) {
	for text, want := range map[string]string{
		"calls":             "calls: want NAME=N, like message=8M",
		"=1":                "=1: no such limit; there are calls=256, commands=4, message=4M, ",
		"Calls=1":           "Calls=1: no such limit",
		"calls=":            "calls=: want a number from 1 to 4096",
		"calls=0":           "calls=0: want a number from 1 to 4096",
		"calls=1":           "",
		"calls=4096":        "",
		"calls=4K":          "",
		"calls=4097":        "calls=4097: want a number from 1 to 4096",
		"calls=+1":          "calls=+1: want",
		"calls= 1":          "calls= 1: want",
		"calls=1k":          "calls=1k: want",
		"calls=K":           "calls=K: want",
		"commands=7":        "",
		"commands=8":        "commands=8: want a number from 1 to 7",
		"message=4095":      "message=4095: want a number from 4096 to 16M",
		"message=16M":       "",
		"message=16777217":  "message=16777217: want",
		"message=1MK":       "message=1MK: want",
		"fds=33":            "fds=33: want a number from 1 to 32",
		"held-fds=63":       "held-fds=63: want a number from 64 to 1024",
		"arguments=16M":     "",
		"arguments=1000":    "arguments=1000: want a number from 1024 to 16M",
		"subscriptions=0":   "subscriptions=0: want a number from 1 to 1024",
		"callers=15":        "callers=15: want a number from 16 to 64K",
		"reply=1024M":       "",
		"reply=1025M":       "reply=1025M: want a number from 1M to 1024M",
		"reply=4294967296M": "reply=4294967296M: want",
	} {
		var l bridge.Limits
		got := ""
		if err := l.Set(text); err != nil {
			got = err.Error()
		}
		if (want == "") != (got == "") || !strings.HasPrefix(got, want) {
			t.Errorf("Set(%q): %q, want %q", text, got, want)
		}
	}
}

// TestLimitsDocumented compares the names, defaults and bounds with the table in docs/api.md.
func TestLimitsDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	for named := range strings.SplitSeq(bridge.LimitNames(), ", ") {
		name, normal, _ := strings.Cut(named, "=")
		var l bridge.Limits
		_, bounds, _ := strings.Cut(l.Set(name+"=0").Error(), "want a number from ")
		least, most, _ := strings.Cut(bounds, " to ")
		if row := "| `" + name + "` | " + normal + " | " + least + " to " + most + " | "; !strings.Contains(string(text), "\n"+row) {
			t.Errorf("docs/api.md has no row %s", row)
		}
	}
}

// limited is a world in which every limit is another than by default.
func limited(t *testing.T, m *machine) *world {
	t.Helper()
	w := newWorld(t, m.dial)
	for _, text := range []string{
		"calls=3", "commands=2", "message=4096", "fds=2", "arguments=1024", "subscriptions=2", "callers=16", "reply=1M",
	} {
		if err := w.limits.Set(text); err != nil {
			t.Fatal(err)
		}
	}
	w.join()
	w.run()
	return w
}

// TestLimitsAreKept has what is at each limit that was set, and one past it.
func TestLimitsAreKept(t *testing.T) {
	const exceeded = dbusError + "LimitsExceeded"
	m := newMachine(t, map[string]string{"custom": "{}"})
	w := limited(t, m)
	for name, at := range map[string]func(c *caller, over int) error{
		"message":   func(c *caller, over int) error { return sized(c, w.bus.Address, 4096+over) },
		"arguments": func(c *caller, over int) error { return c.arguments(1024 + over) },
		"fds":       func(c *caller, over int) error { return c.withFDs(2 + over) },
		"subscriptions": func(c *caller, over int) error {
			return c.vm("Subscribe", []string{"STOP", "RESUME", "RESET"}[:2+over])
		},
	} {
		if err := at(w.as(admin), 0); errorName(err) == exceeded {
			t.Errorf("%s, at the limit: %v", name, err)
		}
		if err := at(w.as(admin), 1); errorName(err) != exceeded {
			t.Errorf("%s, one past the limit: %v, want LimitsExceeded", name, err)
		}
	}
}

// sized makes a call whose message has this many bytes when the bus has added the sender: 16, since fields are
// aligned to 8 bytes and names such as ":1.10" have 7 at most here.
func sized(c *caller, address string, size int) error {
	raw := rig.DialRaw(c.tb, admin, address)
	message := func(pad int) dbus.Message {
		return rig.CallMessage(busName, vmPath, "org.qemu.VM1", "CanExecute", strings.Repeat("x", pad))
	}
	const sender = 16
	raw.Send(c.tb, message(size-sender-len(raw.Encode(c.tb, message(0)))))
	reply := raw.Reply(c.tb)
	if reply.Type == dbus.TypeError {
		return dbus.Error{Name: reply.Headers[dbus.FieldErrorName].Value().(string), Body: reply.Body}
	}
	return nil
}

// arguments runs a command with arguments of this many bytes of JSON.
func (c *caller) arguments(size int) error {
	text := strings.Repeat("x", size-len(`{"a":""}`))
	_, err := c.call(qmpPath, call, "custom", map[string]dbus.Variant{"a": dbus.MakeVariant(text)})
	return err
}

// withFDs makes a call with descriptors, which no method takes.
func (c *caller) withFDs(n int) error {
	var fds []dbus.UnixFD
	for range n {
		fds = append(fds, dbus.UnixFD(0))
	}
	_, err := c.call(vmPath, propsIf+".Get", fds)
	return err
}

// TestLimitsOfFlight has the limits of what waits and what is in flight.
func TestLimitsOfFlight(t *testing.T) {
	m := newMachine(t, nil)
	m.hold("wait", true)
	c := limited(t, m).as(admin)
	get[string](c, "Name") // while a caller is not known yet, all its calls wait
	inFlight := c.pipeline(2)
	waiting := []*qmptest.Request{m.nextHeld(), m.nextHeld()}
	replies := c.pipeline(3)
	m.noneHeld()
	if _, err := c.execute("wait"); errorName(err) != dbusError+"LimitsExceeded" {
		t.Errorf("a call past those that may wait: %v, want LimitsExceeded", err)
	}
	m.finish("wait", waiting)
	c.answered(inFlight)
	c.answered(replies)
}

// TestLimitOfReply has QEMU send a line at the limit, and one that is longer, which ends the connection.
func TestLimitOfReply(t *testing.T) {
	m := newMachine(t, nil)
	w := limited(t, m)
	c := w.as(admin)
	const frame = `{"return": "", "id": 99}` // what the fake QEMU puts around it, with ids of two digits at least
	m.answer("custom", `"`+strings.Repeat("x", 1<<20-len(frame)-10)+`"`)
	if _, err := c.execute("custom"); err != nil {
		t.Errorf("a line below the limit: %v", err)
	}
	m.answer("custom", `"`+strings.Repeat("x", 1<<20)+`"`)
	if _, err := c.execute("custom"); errorName(err) != ourError+"Disconnected" {
		t.Errorf("a line past the limit: %v, want Disconnected", err)
	}
	rig.Eventually(t, "QEMU is connected again", func() bool { return get[bool](c, "Connected") })
}
