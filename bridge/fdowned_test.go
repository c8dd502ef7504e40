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
	sets  map[int64][]added
	last  int64 // number of a descriptor in a set
}

// added is a descriptor in a set.
type added struct {
	fd     int64
	opaque string
	file   *os.File
}

// newMonitor is a QEMU that keeps descriptors.
func newMonitor(t *testing.T) *monitor {
	m := &monitor{machine: newPassing(t), names: map[string]*os.File{}, sets: map[int64][]added{}}
	for _, command := range []string{"getfd", "closefd", "add-fd", "remove-fd", "add_client", "query-fdsets"} {
		m.script(command, m.run)
	}
	return m
}

func (m *monitor) run(_ *qmptest.QEMU, r *qmptest.Request) {
	var a struct {
		Name   string `json:"fdname"`
		ID     int64  `json:"fdset-id"`
		FD     *int64 `json:"fd"`
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
		m.last++
		m.sets[a.ID] = append(m.sets[a.ID], added{m.last, a.Opaque, r.Files[0]})
		r.Return(fmt.Sprintf(`{"fdset-id":%d,"fd":%d}`, a.ID, m.last))
		return
	case "query-fdsets":
		r.Return(m.fdsets())
		return
	case "remove-fd":
		if !m.remove(a.ID, a.FD) {
			r.Fail("GenericError", "File descriptor named 'x' not found")
			return
		}
	}
	r.Return("{}")
}

// remove removes one of a set, or all; false if there is none.
func (m *monitor) remove(id int64, fd *int64) (found bool) {
	m.sets[id] = slices.DeleteFunc(m.sets[id], func(a added) bool {
		if fd != nil && *fd != a.fd {
			return false
		}
		found = true
		a.file.Close()
		return true
	})
	if len(m.sets[id]) == 0 {
		delete(m.sets, id)
	}
	return found
}

// fdsets is what query-fdsets tells.
func (m *monitor) fdsets() string {
	var sets []string
	for id, set := range m.sets {
		var fds []string
		for _, a := range set {
			fds = append(fds, fmt.Sprintf(`{"fd":%d,"opaque":%q}`, a.fd, a.opaque))
		}
		sets = append(sets, fmt.Sprintf(`{"fdset-id":%d,"fds":[%s]}`, id, strings.Join(fds, ",")))
	}
	return "[" + strings.Join(sets, ",") + "]"
}

// foreign puts a descriptor into a set that the bridge knows nothing of.
func (m *monitor) foreign(id int64) {
	m.tb.Helper()
	file, err := os.Open(os.DevNull)
	if err != nil {
		m.tb.Fatal(err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last++
	m.sets[id] = append([]added{{m.last, "", file}}, m.sets[id]...)
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
	m.foreign(1)
	m.foreign(gone) // QEMU has another in it
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

// TestOwnedWithForeign has a caller add to a set that QEMU has from elsewhere, and leave: what was in it stays.
func TestOwnedWithForeign(t *testing.T) {
	m := newMonitor(t)
	c := serve(t, m.machine).as(admin)
	m.foreign(5)
	for range 2 {
		if _, err := c.addFD(connected(t), variants("fdset-id", uint32(5))); err != nil {
			t.Fatal(err)
		}
	}
	m.foreign(5)
	m.wantHas(0, 4)
	c.Close()
	m.wantHas(0, 2)
}

// TestOwnedPipelined has a caller remove a set and add to it without waiting: what is added after that is its own still.
func TestOwnedPipelined(t *testing.T) {
	m := newMonitor(t)
	w := serve(t, m.machine)
	c, other := w.as(admin), w.as(admin)
	fd := connected(t)
	set, err := c.addFD(fd, nil)
	if err != nil {
		t.Fatal(err)
	}
	m.hold("remove-fd", true)
	m.hold("add-fd", true)
	qmp := c.Object(busName, qmpPath)
	calls := []*dbus.Call{qmp.Go(qmpIf+".RemoveFd", 0, nil, set)}
	waiting := []*qmptest.Request{m.nextHeld()}
	calls = append(calls, qmp.Go(qmpIf+".AddFd", 0, nil, fd, variants("fdset-id", set)))
	waiting = append(waiting, m.nextHeld())
	m.hold("remove-fd", false)
	m.hold("add-fd", false)
	for i, r := range waiting {
		m.run(nil, r)
		if err := (<-calls[i].Done).Err; err != nil {
			t.Fatal(err)
		}
	}
	if _, err := other.addFD(fd, variants("fdset-id", set)); errorName(err) != dbusError+"AccessDenied" {
		t.Errorf("another adds to it: %v, want AccessDenied", err)
	}
	m.wantHas(0, 1)
	c.Close()
	m.wantHas(0, 0)
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
	m.mu.Lock()
	m.names[name] = r.Files[0] // and QEMU does not come to answer
	m.mu.Unlock()
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
	m.run(nil, r)
	rig.Eventually(t, "the name can be used again", func() bool { return c.getfd(name, connected(t)) == nil })
	m.wantHas(1, 0)
}

// TestMaxOwnedUnremoved has a QEMU before 9.1 keep what its owners leave behind, or remove, while the guest does not run: as many as it may.
func TestMaxOwnedUnremoved(t *testing.T) {
	const most, ofOne = 64, 16
	full := func(err error) bool {
		return errorName(err) == dbusError+"LimitsExceeded" && strings.Contains(err.Error(), "resume the guest")
	}
	t.Run("left behind", func(t *testing.T) {
		m := newMonitor(t)
		m.answer("query-status", paused)
		w := serve(t, m.machine)
		fd := connected(t)
		for range most / ofOne {
			c := w.as(admin)
			for range ofOne {
				if _, err := c.addFD(fd, nil); err != nil {
					t.Fatal(err)
				}
			}
			c.Close()
			m.wantHas(0, 0)
		}
		c := w.as(admin)
		rig.Eventually(t, "no more are taken", func() bool {
			_, err := c.addFD(fd, nil)
			return full(err)
		})
	})
	t.Run("removed from a set that stays", func(t *testing.T) {
		m := newMonitor(t)
		m.answer("query-status", paused)
		c := serve(t, m.machine).as(admin)
		fd := connected(t)
		set, err := c.addFD(fd, nil)
		for range most {
			_, more := c.addFD(fd, variants("fdset-id", set))
			m.mu.Lock()
			last := m.last
			m.mu.Unlock()
			if err := errorsOf(err, more, c.runs("remove-fd", "fdset-id", set, "fd", last)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := c.addFD(fd, variants("fdset-id", set)); !full(err) {
			t.Errorf("one more: %v, want LimitsExceeded", err)
		}
	})
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
