package bridge_test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/e2e/rig"
	"qmp-dbus-bridge/qmp/qmptest"
)

// monitor is the part of a fake QEMU that keeps descriptors: it does as QEMU does.
type monitor struct {
	*machine
	names map[string]*os.File // only touched by the handler, one request at a time, and when all is answered
	sets  map[int64][]*os.File
}

// newMonitor is a QEMU that keeps descriptors.
func newMonitor(t *testing.T) *monitor {
	m := &monitor{newPassing(t), map[string]*os.File{}, map[int64][]*os.File{}}
	for _, command := range []string{"getfd", "closefd", "add-fd", "remove-fd", "add_client", "query-fdsets"} {
		m.script(command, m.run)
	}
	return m
}

func (m *monitor) run(_ *qmptest.QEMU, r *qmptest.Request) {
	var a struct {
		Name   string `json:"fdname"`
		ID     int64  `json:"fdset-id"`
		Opaque string
	}
	if err := json.Unmarshal(r.Arguments, &a); err != nil && r.Arguments != nil {
		m.tb.Error(err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch r.Name {
	case "getfd":
		if old := m.names[a.Name]; old != nil {
			old.Close()
		}
		m.names[a.Name] = r.Files[0]
	case "closefd", "add_client":
		if m.names[a.Name] == nil {
			r.Fail("GenericError", fmt.Sprintf("File descriptor named '%s' not found", a.Name))
			return
		}
		m.names[a.Name].Close()
		delete(m.names, a.Name)
	case "add-fd":
		m.sets[a.ID] = append(m.sets[a.ID], r.Files[0])
		r.Return(fmt.Sprintf(`{"fdset-id":%d,"fd":9}`, a.ID))
		return
	case "remove-fd":
		if m.sets[a.ID] == nil {
			r.Fail("GenericError", "File descriptor named 'x' not found")
			return
		}
		for _, file := range m.sets[a.ID] {
			file.Close()
		}
		delete(m.sets, a.ID)
	}
	r.Return("{}")
}

// has tells how many descriptors QEMU has, by name and in sets.
func (m *monitor) has() (names, sets int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, set := range m.sets {
		sets += len(set)
	}
	return len(m.names), sets
}

// wantHas waits until QEMU has so many.
func (m *monitor) wantHas(names, sets int) {
	m.tb.Helper()
	rig.Eventually(m.tb, fmt.Sprintf("QEMU has %d names and %d in sets", names, sets), func() bool {
		n, s := m.has()
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
				m.run(nil, r)
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
	if err := errorsOf(err, otherErr, c.getfd("x", fd), leaver.getfd("y", fd)); err != nil {
		t.Fatal(err)
	}
	tag := tags.FindString(strings.Join(m.commands(), " "))
	m.script("query-fdsets", func(_ *qmptest.QEMU, r *qmptest.Request) {
		r.Return(fmt.Sprintf(`[{"fdset-id":%d,"fds":[{"fd":1,"opaque":%q}]},{"fdset-id":%d,"fds":[{"fd":2,"opaque":%q}]},{"fdset-id":1,"fds":[{"fd":3}]}]`, set, tag, gone, tag))
	})
	m.hold("query-name", true) // the bridge does not get on with the next one
	m.client().Hangup()
	r := m.nextHeld()
	m.hold("query-name", false)
	leaver.Close()
	rig.Eventually(t, "the bus has told", func() bool { return !c.owned(leaver.unique) })
	r.Return(`{"name": "vm7"}`)
	m.wantHas(1, 1)
	rig.Eventually(t, "the bridge is there again", func() bool { return c.runs("stop") == nil })
	if err := c.runs("remove-fd", "fdset-id", set); err != nil {
		t.Error(err)
	}
	if err := c.runs("closefd", "fdname", "x"); err != nil {
		t.Error(err)
	}
	m.wantHas(0, 0)
}

// TestMaxOwned has callers pass as many as each, its user and all may, and one more.
func TestMaxOwned(t *testing.T) {
	m := newMonitor(t)
	w := serve(t, m.machine)
	fd := connected(t)
	const ofOne, ofAll = 16, 64
	var callers []*caller
	for n := range ofAll / ofOne {
		c := w.as(admin)
		callers = append(callers, c)
		for i := range ofOne {
			_, err := c.addFD(fd, nil)
			if err := errorsOf(err, c.getfd(fmt.Sprintf("x%d.%d", n, i), fd)); err != nil {
				t.Fatalf("%d: %v", i, err)
			}
		}
		_, err := c.addFD(fd, nil)
		for _, err := range []error{err, c.getfd("one more", fd)} {
			if errorName(err) != dbusError+"LimitsExceeded" {
				t.Errorf("one more of one caller: %v, want LimitsExceeded", err)
			}
		}
	}
	c := w.as(admin)
	_, err := c.addFD(fd, nil)
	for _, err := range []error{err, c.getfd("one more", fd)} {
		if errorName(err) != dbusError+"LimitsExceeded" {
			t.Errorf("one more of all: %v, want LimitsExceeded", err)
		}
	}
	callers[0].Close()
	m.wantHas(ofAll-ofOne, ofAll-ofOne)
	rig.Eventually(t, "there is room again", func() bool { return c.getfd("one more", fd) == nil })
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
	first.want(`{"return": {"fdset-id":3,"fd":9}}`)
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
