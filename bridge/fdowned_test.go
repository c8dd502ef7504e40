package bridge_test

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/e2e/rig"
	"qmp-dbus-bridge/qmp/qmptest"
)

// monitor is a fake QEMU that keeps descriptors.
type monitor struct {
	*machine
	*qmptest.Descriptors
}

// newMonitor makes one.
func newMonitor(t *testing.T) *monitor {
	m := &monitor{newPassing(t), qmptest.NewDescriptors()}
	for _, command := range qmptest.Keeps {
		m.script(command, m.Handle)
	}
	return m
}

// wantHas waits until QEMU has so many.
func (m *monitor) wantHas(names, sets int) {
	m.tb.Helper()
	rig.Eventually(m.tb, fmt.Sprintf("QEMU has %d names and %d in sets", names, sets), func() bool {
		n, s := m.Count()
		return n == names && s == sets
	})
}

// own passes descriptors of a caller's own.
func (c *caller) getfd(name string, fd dbus.UnixFD) error {
	c.tb.Helper()
	_, err := c.call(qmpPath, qmpIf+".Getfd", name, fd)
	return err
}

func (c *caller) addFD(fd dbus.UnixFD, options dict) (int64, error) {
	c.tb.Helper()
	result, err := c.call(qmpPath, qmpIf+".AddFd", fd, map[string]dbus.Variant(options))
	if err != nil {
		return 0, err
	}
	return result.(map[string]dbus.Variant)["fdset-id"].Value().(int64), nil
}

// runs executes a command by Call.
func (c *caller) runs(command string, pairs ...any) error {
	c.tb.Helper()
	_, err := c.call(qmpPath, call, command, map[string]dbus.Variant(variants(pairs...)))
	return err
}

// TestOwned has a caller pass descriptors, typed and by Call, use them and have them closed.
func TestOwned(t *testing.T) {
	m := newMonitor(t)
	c := serve(t, m.machine).as(admin)
	fd := connected(t)
	fine := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	fine("getfd", c.getfd("x", fd))
	fine("getfd in place of it", c.getfd("x", fd))
	fine("getfd by Call", c.runs("getfd", "fdname", "y", "fd", fd))
	m.wantHas(2, 0)
	fine("add_client", c.runs("add_client", "protocol", "vnc", "fdname", "x"))
	fine("closefd", c.runs("closefd", "fdname", "y"))
	m.wantHas(0, 0)
	if err := c.runs("add_client", "protocol", "vnc", "fdname", "x"); errorName(err) != dbusError+"InvalidArgs" {
		t.Errorf("what was taken, again: %v", err)
	}
	m.commands()

	set, err := c.addFD(fd, nil)
	fine("add-fd", err)
	m.wantPassed("add-fd", `add-fd {"fdset-id":SET,"opaque":"TAG"}`)
	again, err := c.addFD(fd, variants("fdset-id", set, "opaque", `m"ine`))
	if fine("add-fd to it", err); again != set {
		t.Errorf("the set %d, want %d", again, set)
	}
	m.wantPassed("add-fd to it", `add-fd {"fdset-id":SET,"opaque":"TAG:m\"ine"}`)
	fine("add-fd by Call, with a number", c.runs("add-fd", "fd", fd, "fdset-id", uint32(7)))
	m.wantHas(0, 3)
	fine("screendump", c.runs("screendump", "filename", fmt.Sprintf("/dev/fdset/%d", set)))
	fine("remove-fd", c.runs("remove-fd", "fdset-id", set))
	fine("remove-fd", c.runs("remove-fd", "fdset-id", int32(7)))
	m.wantHas(0, 0)

	for what, wrong := range map[string]error{
		"no descriptor":      c.runs("getfd", "fdname", "x"),
		"no string":          c.runs("getfd", "fdname", uint32(1), "fd", fd),
		"unknown":            c.runs("getfd", "fdname", "x", "fd", fd, "zz", uint32(1)),
		"no name":            c.getfd("", fd),
		"reserved":           c.getfd("b1-x", fd),
		"what policies see":  c.getfd("fd:", fd),
		"a number as a text": c.runs("add-fd", "fd", fd, "fdset-id", "7"),
	} {
		if errorName(wrong) != dbusError+"InvalidArgs" {
			t.Errorf("%s: %v, want InvalidArgs", what, wrong)
		}
	}
	for name, want := range map[int]string{255: "", 256: dbusError + "LimitsExceeded"} {
		err := c.getfd(strings.Repeat("x", name), fd)
		if got := errorName(err); err != nil && got != want || err == nil && want != "" {
			t.Errorf("a name of %d bytes: %v, want %q", name, err, want)
		}
	}
}

// TestOwnedByOthers has a caller, of the same user, try to use, replace and take back what another has passed.
func TestOwnedByOthers(t *testing.T) {
	m := newMonitor(t)
	w := serve(t, m.machine)
	c, other := w.as(admin), w.as(admin)
	fd := connected(t)
	set, err := c.addFD(fd, variants("fdset-id", uint32(5)))
	if err := errorsOf(err, c.getfd("x", fd)); err != nil {
		t.Fatal(err)
	}
	m.commands()
	for what, try := range map[string]struct {
		err  error
		want string
	}{
		"use a name":         {other.runs("add_client", "protocol", "vnc", "fdname", "x"), dbusError + "InvalidArgs"},
		"use one of an fd:":  {other.runs("migrate", "uri", "fd:x"), dbusError + "InvalidArgs"},
		"replace a name":     {other.getfd("x", fd), dbusError + "AccessDenied"},
		"close a name":       {other.runs("closefd", "fdname", "x"), ourError + "Qmp.GenericError"},
		"use a set":          {other.runs("screendump", "filename", fmt.Sprintf("/dev/fdset/%d", set)), dbusError + "InvalidArgs"},
		"use a set, a node":  {other.runs("blockdev-add", "driver", "raw", "file", fmt.Sprintf(`json:{"driver":"file","filename":"\/dev/fdset/%d"}`, set)), dbusError + "InvalidArgs"},
		"add to a set":       {other.runs("add-fd", "fd", fd, "fdset-id", set), dbusError + "AccessDenied"},
		"remove a set":       {other.runs("remove-fd", "fdset-id", set), dbusError + "AccessDenied"},
		"remove of a set":    {other.runs("remove-fd", "fdset-id", set, "fd", uint32(9)), dbusError + "AccessDenied"},
		"close what is none": {other.runs("closefd", "fdname", "zz"), ourError + "Qmp.GenericError"},
	} {
		if errorName(try.err) != try.want {
			t.Errorf("%s: %v, want %s", what, try.err, try.want)
		}
	}
	if got := m.commands(); got != nil {
		t.Errorf("QEMU was told %q, want nothing", got)
	}
	if err := other.runs("remove-fd", "fdset-id", uint32(3)); errorName(err) != ourError+"Qmp.GenericError" {
		t.Errorf("a set that QEMU may have from elsewhere: %v, want QEMU's word", err)
	}
}

func errorsOf(all ...error) error {
	i := slices.IndexFunc(all, func(err error) bool { return err != nil })
	if i < 0 {
		return nil
	}
	return all[i]
}

// TestOwnerLeaves has callers leave before, while and after their descriptors get to QEMU: none stays there.
func TestOwnerLeaves(t *testing.T) {
	for _, step := range []string{"", "getfd", "add-fd", "closefd", "remove-fd"} {
		t.Run("at "+step, func(t *testing.T) {
			m := newMonitor(t)
			w := serve(t, m.machine)
			c, other := w.as(admin), w.as(admin)
			fd := connected(t)
			set, err := c.addFD(fd, nil)
			if err := errorsOf(err, c.getfd("x", fd), other.getfd("y", fd)); err != nil {
				t.Fatal(err)
			}
			m.wantHas(2, 1)
			if step != "" {
				m.hold(step, true)
				m.hold(step, true)
				qmp := c.Object(busName, qmpPath)
				switch step {
				case "getfd":
					qmp.Go(qmpIf+".Getfd", 0, nil, "z", fd)
				case "add-fd":
					qmp.Go(qmpIf+".AddFd", 0, nil, fd, variants("fdset-id", set))
				case "closefd":
					qmp.Go(qmpIf+".Closefd", 0, nil, "x")
				case "remove-fd":
					qmp.Go(qmpIf+".RemoveFd", 0, nil, set)
				}
				r := m.nextHeld()
				m.hold(step, false)
				c.Close()
				w.records(3) // the bus has told
				m.Handle(nil, r)
			} else {
				c.Close()
			}
			m.wantHas(1, 0)
			rig.Eventually(t, "the names can be used again", func() bool { return other.getfd("x", fd) == nil })
		})
	}
}

// TestOwnedOverConnections has the connection end. Whose owner is there still has its descriptors; those of one that leaves meanwhile are
// taken back.
func TestOwnedOverConnections(t *testing.T) {
	m := newMonitor(t)
	w := serve(t, m.machine)
	c, leaver := w.as(admin), w.as(admin)
	fd := connected(t)
	set, err := c.addFD(fd, nil)
	gone, otherErr := leaver.addFD(fd, nil)
	m.AddForeign(t, 1)
	m.AddForeign(t, gone) // QEMU has another in it
	if err := errorsOf(err, otherErr, c.getfd("x", fd), leaver.getfd("y", fd)); err != nil {
		t.Fatal(err)
	}
	m.hold("query-name", true) // the bridge does not get on with the next one
	m.client().Hangup()
	r := m.nextHeld()
	m.hold("query-name", false)
	leaver.Close()
	rig.Eventually(t, "the bus has told", func() bool { return !c.owned(leaver.unique) })
	r.Return(`{"name": "vm7"}`)
	m.wantHas(1, 3)
	rig.Eventually(t, "the bridge is there again", func() bool { return c.runs("stop") == nil })
	if err := c.runs("remove-fd", "fdset-id", set); err != nil {
		t.Error(err)
	}
	if err := c.runs("closefd", "fdname", "x"); err != nil {
		t.Error(err)
	}
	m.wantHas(0, 2)
}

// TestOwnedUnanswered has the connection end while a getfd is under way. QEMU may have the descriptor, so it is told to close it when it has
// been reached again; until it has, nobody may pass another of the name, which would be closed instead.
func TestOwnedUnanswered(t *testing.T) {
	m := newMonitor(t)
	c := serve(t, m.machine).as(admin)
	const name = "backup" // as the bridge's own it begins with b
	m.hold("getfd", true)
	pending := c.Object(busName, qmpPath).Go(qmpIf+".Getfd", 0, nil, name, connected(t))
	r := m.nextHeld()
	m.Execute(r) // and QEMU does not come to answer
	m.hold("getfd", false)
	m.hold("closefd", true)
	m.client().Hangup()
	<-pending.Done
	r = m.nextHeld()
	rig.Eventually(t, "the bridge is there again", func() bool { return c.runs("stop") == nil })
	if err := c.getfd(name, connected(t)); errorName(err) != dbusError+"AccessDenied" {
		t.Errorf("the name while it is closed: %v, want AccessDenied", err)
	}
	m.hold("closefd", false)
	m.Handle(nil, r)
	rig.Eventually(t, "the name can be used again", func() bool { return c.getfd(name, connected(t)) == nil })
	m.wantHas(1, 0)
}

// sendFD sends a request with a descriptor.
func (c *qmpClient) sendFD(text string, fds ...int) {
	c.tb.Helper()
	if _, _, err := c.conn.(*net.UnixConn).WriteMsgUnix([]byte(text), unix.UnixRights(fds...), nil); err != nil {
		c.tb.Fatal(err)
	}
}

// TestSessionFDs has sessions pass descriptors: each has its own, which are closed at its end.
func TestSessionFDs(t *testing.T) {
	m := newMonitor(t)
	w, socket := listening(t, m.machine, nil)
	fd := int(connected(t))
	first, second := client(t, admin, socket).agreed(), client(t, admin, socket).agreed()
	first.sendFD(`{"execute":"getfd","arguments":{"fdname":"x"}}`, fd)
	first.want(`{"return": {}}`)
	first.sendFD(`{"execute":"add-fd","arguments":{"fdset-id":3,"opaque":"mine"}}`, fd)
	first.want(`{"return": {"fdset-id":3,"fd":1}}`)
	m.wantHas(1, 1)
	second.send(`{"execute":"closefd","arguments":{"fdname":"x"}}`)
	second.wantError("File descriptor named 'x' not found: you have passed none of this name")
	second.send(`{"execute":"remove-fd","arguments":{"fdset-id":3}}`)
	second.wantError("remove-fd.fdset-id: the set 3 is another's")
	second.send(`{"execute":"screendump","arguments":{"filename":"/dev/fdset/3"}}`)
	second.wantError("screendump.filename: the set 3 of descriptors is another's")
	if err := w.as(admin).runs("closefd", "fdname", "x"); errorName(err) != ourError+"Qmp.GenericError" {
		t.Errorf("a caller on the bus closes a session's: %v", err)
	}
	second.sendFD(`{"execute":"stop"}`, fd)
	second.wantError("stop: 1 file descriptors came with the request, and it takes none; pass them with getfd or add-fd before")
	second.sendFD(`{"execute":"getfd","arguments":{"fdname":"y"}}`, fd, fd)
	second.wantError("getfd: 2 file descriptors came with the request, and it takes one")
	second.send(`{"execute":"getfd","arguments":{"fdname":"y"}}`) // none is left of those
	second.wantError("No file descriptor supplied via SCM_RIGHTS")
	m.wantHas(1, 1)
	first.conn.Close()
	m.wantHas(0, 0)
}

// TestSessionFDArguments has a session give arguments that differ from QEMU's in the case of their names, are none of the command's, or null:
// nothing is run that was not decided as it is.
func TestSessionFDArguments(t *testing.T) {
	m := newMonitor(t)
	_, socket := listening(t, m.machine, func(w *world) {
		w.cedar = []string{
			`@id("read") permit (principal in User::"1", action in Action::"class:read", resource);`,
			`@id("sets") permit (principal in User::"1", action == Action::"add-fd", resource) unless { context.arguments has "fdset-id" };`,
		}
	})
	fd := int(connected(t))
	c := client(t, admin, socket).agreed()
	for _, test := range []struct{ command, arguments, want string }{
		{"add-fd", `{"FDSET-ID":1}`, `add-fd: there is no "FDSET-ID"`},
		{"add-fd", `{"fdset-id":1,"Fdset-Id":2}`, `add-fd: there is no "Fdset-Id"`},
		{"add-fd", `{"zz":1}`, `add-fd: there is no "zz"`},
		{"add-fd", `{"fd":1}`, `add-fd: there is no "fd"`},
		{"add-fd", `{"fdset-id":null}`, "add-fd.fdset-id: this is not an integer"},
		{"add-fd", `{"fdset-id":"1"}`, "add-fd.fdset-id: this is not an integer"},
		{"getfd", `{"FDNAME":"x"}`, `getfd: there is no "FDNAME"`},
		{"getfd", `{"fdname":null}`, "getfd.fdname: this is not a string"},
	} {
		c.sendFD(fmt.Sprintf(`{"execute":%q,"arguments":%s}`, test.command, test.arguments), fd)
		c.wantError(test.want)
	}
	c.send(`{"execute":"closefd","arguments":{"Fdname":"x"}}`)
	c.wantError(`closefd: there is no "Fdname"`)
	c.send(`{"execute":"remove-fd","arguments":{"fdset-id":1,"FD":2}}`)
	c.wantError(`remove-fd: there is no "FD"`)

	limited := client(t, viewer, socket).agreed()
	const denied = "uid 1 may not do add-fd (class host) with these arguments: no grant or policy permits it"
	for name, want := range map[string]string{"fdset-id": denied, "fdset\\u002did": denied, "FDSET-ID": `add-fd: there is no "FDSET-ID"`} {
		limited.sendFD(fmt.Sprintf(`{"execute":"add-fd","arguments":{"%s":1}}`, name), fd)
		limited.wantError(want)
	}
	m.wantHas(0, 0)
	limited.sendFD(`{"execute":"add-fd"}`, fd)
	limited.next()
	m.wantHas(0, 1)
}
