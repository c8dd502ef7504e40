package bridge_test

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/e2e/rig"
	"qmp-dbus-bridge/qmp/qmptest"
)

// newPassing is a QEMU with the commands of a captured one.
func newPassing(t *testing.T) *machine {
	t.Helper()
	return newMachine(t, map[string]string{"query-qmp-schema": captured(t)[schema7], "query-named-block-nodes": "[]"})
}

// opened is a file that is open in a mode.
func opened(t *testing.T, mode int) dbus.UnixFD {
	t.Helper()
	file, err := os.OpenFile(t.TempDir()+"/file", mode|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return dbus.UnixFD(file.Fd())
}

// newSocket is a socket and its peer until the test ends.
func newSocket(t *testing.T) (mine, peer *os.File) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	mine, peer = os.NewFile(uintptr(fds[0]), "mine"), os.NewFile(uintptr(fds[1]), "peer")
	t.Cleanup(func() {
		mine.Close() // the test may have
		peer.Close()
	})
	return mine, peer
}

func connected(t *testing.T) dbus.UnixFD {
	mine, _ := newSocket(t)
	return dbus.UnixFD(mine.Fd())
}

// What of commands is different each time.
var (
	setNumbers = regexp.MustCompile(`\b[12][0-9]{9}\b`)
	tags       = regexp.MustCompile(`bridge:[A-Z2-7]{26}`)
)

// passed are commands with NAME, SET and TAG in the place of those, and the members in alphabetical order: godbus sends them in any.
func passed(commands []string) (list []string) {
	for _, c := range commands {
		name, arguments, _ := strings.Cut(c, " ")
		var members any
		if json.Unmarshal([]byte(arguments), &members) == nil {
			sorted, _ := json.Marshal(members)
			c = name + " " + string(sorted)
		}
		c = fdNames.ReplaceAllString(c, "NAME")
		c = setNumbers.ReplaceAllString(c, "SET")
		list = append(list, tags.ReplaceAllString(c, "TAG"))
	}
	return list
}

// wantPassed fails unless QEMU was told these commands.
func (m *machine) wantPassed(what string, want ...string) {
	m.tb.Helper()
	if diff := cmp.Diff(passed(want), passed(m.commands())); diff != "" {
		m.tb.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

const (
	qmpIf    = busName + ".QMP"
	addFD    = `add-fd {"fdset-id":SET,"opaque":"TAG"}`
	removeFD = `remove-fd {"fdset-id":SET}`
	getFD    = `getfd {"fdname":"NAME"}`
	closeFD  = `closefd {"fdname":"NAME"}`
	nodes    = `query-named-block-nodes {"flat":true}`
)

// passing is a call with a descriptor, and what QEMU is told: before the command, the command, and after it.
type passing struct {
	method       string
	args         []any
	told         string
	before, then string
}

// passings are calls of all forms.
func passings(t *testing.T) map[string]passing {
	w, rw, r, s := opened(t, os.O_WRONLY), opened(t, os.O_RDWR), opened(t, os.O_RDONLY), connected(t)
	by := func(command string, pairs ...any) []any {
		return []any{command, map[string]dbus.Variant(variants(pairs...))}
	}
	const typed = qmpIf + "."
	return map[string]passing{
		"typed":               {typed + "Screendump", []any{w}, `screendump {"filename":"/dev/fdset/SET"}`, addFD, removeFD},
		"typed, with options": {typed + "Screendump", []any{w, variants("head", uint32(1), "device", "v")}, `screendump {"filename":"/dev/fdset/SET","head":1,"device":"v"}`, addFD, removeFD},
		"typed, by name":      {typed + "Screendump", []any{variants("filename", w)}, `screendump {"filename":"/dev/fdset/SET"}`, addFD, removeFD},
		"typed, a socket":     {typed + "AddClient", []any{"vnc", s, variants("skipauth", true)}, `add_client {"protocol":"vnc","fdname":"NAME","skipauth":true}`, getFD, ""},
		"typed, an address":   {typed + "Migrate", []any{variants("uri", w)}, `migrate {"uri":"fd:NAME"}`, getFD, ""},
		"Call, in variants":   {call, by("screendump", "filename", dbus.MakeVariant(w)), `screendump {"filename":"/dev/fdset/SET"}`, addFD, removeFD},
		"Call, in a dictionary": {
			call, by("blockdev-add", "driver", "raw", "node-name", "n", "file", variants("driver", "file", "filename", rw)),
			`blockdev-add {"driver":"raw","node-name":"n","file":{"driver":"file","filename":"/dev/fdset/SET"}}`, addFD, "",
		},
		"Call, for reading": {call, by("object-add", "qom-type", "rng-random", "id", "r", "filename", r), `object-add {"qom-type":"rng-random","id":"r","filename":"/dev/fdset/SET"}`, addFD, removeFD},
		"Call, in a list":   {call, by("netdev_add", "type", "tap", "id", "n", "fds", []dbus.UnixFD{rw}), `netdev_add {"type":"tap","id":"n","fds":"NAME"}`, getFD, closeFD},
		"Call, of no type":  {call, by("device_add", "driver", "vhost-vsock-pci", "vhostfd", rw), `device_add {"driver":"vhost-vsock-pci","vhostfd":"NAME"}`, getFD, closeFD},
	}
}

// TestPassed has descriptors passed in every way: QEMU is told at most two commands more, and gets what the caller has.
func TestPassed(t *testing.T) {
	for name, test := range passings(t) {
		t.Run(name, func(t *testing.T) {
			m := newPassing(t)
			c := serve(t, m).as(admin)
			if _, err := c.call(qmpPath, test.method, test.args...); err != nil {
				t.Fatal(err)
			}
			all := []string{test.before, test.told, test.then}
			if test.then == "" { // QEMU has taken it
				all = all[:2]
			}
			m.wantPassed("all is well", all...)
			command, _, _ := strings.Cut(test.told, " ")
			m.script(command, func(_ *qmptest.QEMU, r *qmptest.Request) { r.Fail("GenericError", "no") })
			if _, err := c.call(qmpPath, test.method, test.args...); errorName(err) != ourError+"Qmp.GenericError" {
				t.Errorf("refused: %v", err)
			}
			m.wantPassed("refused", test.before, test.told, map[string]string{addFD: removeFD, getFD: closeFD}[test.before])
		})
	}
}

// TestPassedInOrder has calls behind one with a descriptor: QEMU is told them behind it, though it has answered nothing.
func TestPassedInOrder(t *testing.T) {
	m := newPassing(t)
	c := serve(t, m).as(admin)
	for _, command := range []string{"add-fd", "getfd", "screendump", "add_client", "stop", "cont"} {
		m.hold(command, true)
	}
	qmp := c.Object(busName, qmpPath)
	var calls []*dbus.Call
	for _, one := range []struct {
		method string
		args   []any
	}{{"Screendump", []any{opened(t, os.O_WRONLY)}}, {"Stop", nil}, {"AddClient", []any{"vnc", connected(t)}}, {"Cont", nil}} {
		calls = append(calls, qmp.Go(qmpIf+"."+one.method, 0, nil, one.args...))
	}
	var order []string
	for range 6 { // getfd comes when add-fd has been answered: descriptors are passed one at a time
		r := m.nextHeld()
		order = append(order, r.Name)
		r.Return("{}")
	}
	if diff := cmp.Diff([]string{"add-fd", "screendump", "stop", "getfd", "add_client", "cont"}, order); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	for _, call := range calls {
		if (<-call.Done).Err != nil {
			t.Error(call.Err)
		}
	}
}

// TestPassedEnds has what is on its way end at each step: by QEMU, which refuses or goes, and by the caller, which leaves. The caller's
// descriptor is open nowhere then but in QEMU.
func TestPassedEnds(t *testing.T) {
	for _, step := range []string{"add-fd", "screendump", "remove-fd", "getfd", "add_client", "closefd"} {
		for name, end := range map[string]func(m *machine, r *qmptest.Request, c *rig.Raw){
			"QEMU refuses": func(_ *machine, r *qmptest.Request, _ *rig.Raw) { r.Fail("GenericError", "no") },
			"QEMU goes":    func(m *machine, _ *qmptest.Request, _ *rig.Raw) { m.client().Hangup() },
			"caller goes": func(_ *machine, r *qmptest.Request, c *rig.Raw) {
				c.Close()
				r.Return("{}")
			},
		} {
			t.Run(step+", "+name, func(t *testing.T) {
				m := newPassing(t)
				w := serve(t, m)
				if step == "closefd" { // which comes only after
					m.script("add_client", func(_ *qmptest.QEMU, r *qmptest.Request) { r.Fail("GenericError", "no") })
				}
				m.hold(step, true)
				r := rig.DialRaw(t, admin, w.bus.Address)
				writer, reader := newPipe(t)
				message := rig.CallMessage(busName, qmpPath, qmpIf, "Screendump", dbus.UnixFDIndex(0))
				if !strings.Contains("add-fd screendump remove-fd", step) {
					writer, reader = newSocket(t)
					message = rig.CallMessage(busName, qmpPath, qmpIf, "AddClient", "vnc", dbus.UnixFDIndex(0))
				}
				if err := r.SendFDs(t, message, int(writer.Fd())); err != nil {
					t.Fatal(err)
				}
				writer.Close()
				end(m, m.nextHeld(), r)
				m.hold(step, false)
				other := w.as(admin)
				rig.Eventually(t, "others are served", func() bool {
					_, err := other.execute("stop")
					return err == nil || errorName(err) != ourError+"Disconnected"
				})
				m.die()
				wantEnd(t, reader)
			})
		}
	}
}

// TestPassedNode has block nodes that are of a descriptor: QEMU keeps it for them, and no longer.
func TestPassedNode(t *testing.T) {
	m := newPassing(t)
	c := serve(t, m).as(admin)
	m.script("add-fd", func(_ *qmptest.QEMU, r *qmptest.Request) {
		m.answer("query-named-block-nodes", fmt.Sprintf(`[{"file":"json:{\"driver\":\"raw\",\"file\":{\"filename\":\"/dev/fdset/%s\"}}"}]`, setNumbers.FindString(string(r.Arguments))))
		r.Return("{}")
	})
	if _, err := c.call(qmpPath, qmpIf+".BlockdevAdd", "file", variants("node-name", "n", "filename", opened(t, os.O_RDWR))); err != nil {
		t.Fatal(err)
	}
	m.wantPassed("added", addFD, `blockdev-add {"driver":"file","node-name":"n","filename":"/dev/fdset/SET"}`)
	if _, err := c.call(qmpPath, qmpIf+".BlockdevDel", "other"); err != nil {
		t.Fatal(err)
	}
	waitFor := func(n int) {
		t.Helper()
		rig.Eventually(t, "QEMU was asked", func() bool { return m.counts()["query-jobs"] >= n })
	}
	rig.Eventually(t, "QEMU was asked", func() bool { return m.counts()["query-named-block-nodes"] == 1 })
	m.wantPassed("another is deleted", `blockdev-del {"node-name":"other"}`, nodes)
	m.answer("query-named-block-nodes", `[]`)
	waitFor(1)
	if _, err := c.call(qmpPath, qmpIf+".BlockdevDel", "n"); err != nil {
		t.Fatal(err)
	}
	rig.Eventually(t, "the set is removed", func() bool { return m.counts()["remove-fd"] == 1 })
	m.wantPassed("it is deleted", `blockdev-del {"node-name":"n"}`, nodes, removeFD)
	if _, err := c.call(qmpPath, qmpIf+".BlockdevDel", "n"); err != nil {
		t.Fatal(err)
	}
	m.wantPassed("nothing is kept", `blockdev-del {"node-name":"n"}`)
}

// TestPassedIsDecided has policies tell descriptors from strings: what stands for one is nothing that a caller can write.
func TestPassedIsDecided(t *testing.T) {
	m := newPassing(t)
	w := newWorld(t, m.dial)
	w.cedar = []string{
		`@id("own") permit (principal in User::"1", action == Action::"screendump", resource) when { context.arguments has filename && context.arguments.filename like "/dev/fdset/*" };`,
		`@id("socket") permit (principal in User::"1", action == Action::"add_client", resource) when { context.arguments has fdname && context.arguments.fdname == "fd:" };`,
	}
	w.join()
	w.run()
	c := w.as(viewer)
	file, socket := opened(t, os.O_WRONLY), connected(t)
	for _, test := range []struct {
		method string
		args   []any
		want   string
	}{
		{"Screendump", []any{file}, ""},
		{"Screendump", []any{"/dev/fdset/"}, dbusError + "InvalidArgs"},
		{"Screendump", []any{"/srv/x"}, dbusError + "AccessDenied"},
		{"AddClient", []any{"vnc", socket}, ""},
		{"AddClient", []any{"vnc", "fd:"}, dbusError + "InvalidArgs"},
		{"AddClient", []any{"vnc", "x"}, dbusError + "InvalidArgs"}, // nobody has passed it
		{"DumpGuestMemory", []any{false, file}, dbusError + "AccessDenied"},
	} {
		m.commands()
		_, err := c.call(qmpPath, qmpIf+"."+test.method, test.args...)
		if got := errorName(err); got != test.want && (err != nil || test.want != "") {
			t.Errorf("%s%v = %v, want %q", test.method, test.args, err, test.want)
		}
		if got := m.commands(); (len(got) > 0) != (test.want == "") {
			t.Errorf("%s%v: QEMU was told %q", test.method, test.args, got)
		}
	}
}

// TestPassedToOthers has a caller name what another one's node is of.
func TestPassedToOthers(t *testing.T) {
	m := newPassing(t)
	c := serve(t, m).as(admin)
	if _, err := c.call(qmpPath, qmpIf+".BlockdevAdd", "file", variants("node-name", "n", "filename", opened(t, os.O_RDWR))); err != nil {
		t.Fatal(err)
	}
	set := setNumbers.FindString(m.commands()[0])
	for _, name := range []string{"/dev/fdset/" + set, `json:{"driver":"file","filename":"/dev\u002ffdset/` + set + `"}`} {
		for what, try := range map[string]func() error{
			"typed": func() error { _, err := c.call(qmpPath, qmpIf+".Screendump", name); return err },
			"CallJson": func() error {
				_, err := c.call(qmpPath, callJSON, "screendump", fmt.Sprintf(`{"filename":%q}`, name))
				return err
			},
		} {
			if err := try(); errorName(err) != dbusError+"InvalidArgs" {
				t.Errorf("%s %s: %v, want InvalidArgs", what, name, err)
			}
		}
	}
	if got := m.commands(); got != nil {
		t.Errorf("QEMU was told %q, want nothing", got)
	}
}

// TestPassedReconnect has the connection end while QEMU has descriptors of commands under way, and of a block node. It keeps them, so they
// are taken back when it has been reached again; what the node is of is not.
func TestPassedReconnect(t *testing.T) {
	m := newPassing(t)
	c := serve(t, m).as(admin)
	var sets []string
	m.script("add-fd", func(_ *qmptest.QEMU, r *qmptest.Request) {
		tag := tags.FindString(string(r.Arguments))
		sets = append(sets, fmt.Sprintf(`{"fdset-id":%s,"fds":[{"fd":9,"opaque":%q}]}`, setNumbers.FindString(string(r.Arguments)), tag))
		m.answer("query-fdsets", `[{"fdset-id":0,"fds":[{"fd":8,"opaque":"bridge:another"}]},`+strings.Join(sets, ",")+`]`)
		r.Return("{}")
	})
	if _, err := c.call(qmpPath, qmpIf+".BlockdevAdd", "file", variants("node-name", "n", "filename", opened(t, os.O_RDWR))); err != nil {
		t.Fatal(err)
	}
	kept := setNumbers.FindString(m.commands()[0])
	m.answer("query-named-block-nodes", `[{"file":"/dev/fdset/`+kept+`"}]`)
	m.hold("screendump", true)
	m.hold("add_client", true)
	qmp := c.Object(busName, qmpPath)
	var calls []*dbus.Call
	calls = append(calls, qmp.Go(qmpIf+".Screendump", 0, nil, opened(t, os.O_WRONLY)), qmp.Go(qmpIf+".AddClient", 0, nil, "vnc", connected(t)))
	m.nextHeld()
	m.nextHeld()
	m.commands()
	m.client().Hangup()
	for _, call := range calls {
		if err := (<-call.Done).Err; errorName(err) != ourError+"Disconnected" {
			t.Errorf("%s: %v, want Disconnected", call.Method, err)
		}
	}
	rig.Eventually(t, "what is left is looked for", func() bool {
		counts := m.counts()
		return counts["closefd"] == 1 && counts["remove-fd"] == 1 && counts["query-named-block-nodes"] > 0
	})
	told := m.commands()
	if text := strings.Join(told, "\n"); strings.Contains(text, kept) {
		t.Errorf("QEMU was told %q, about the set %s, which a node is of", told, kept)
	}
	m.answer("query-named-block-nodes", `[]`)
	rig.Eventually(t, "the bridge is there again", func() bool {
		_, err := c.call(qmpPath, qmpIf+".BlockdevDel", "n")
		return err == nil
	})
	rig.Eventually(t, "the node's is removed", func() bool { return m.counts()["remove-fd"] == 2 })
}

// TestMaxFDSets has block nodes take all sets that there may be, and one more.
func TestMaxFDSets(t *testing.T) {
	m := newPassing(t)
	c := serve(t, m).as(admin)
	file := opened(t, os.O_RDWR)
	add := func(filename any) error {
		_, err := c.call(qmpPath, qmpIf+".BlockdevAdd", "file", variants("node-name", "n", "filename", filename))
		return err
	}
	const most = 256
	for i := range most {
		if err := add(file); err != nil {
			t.Fatalf("%d: %v", i, err)
		}
	}
	for what, try := range map[string]func() error{
		"a node":       func() error { return add(file) },
		"a screenshot": func() error { _, err := c.call(qmpPath, qmpIf+".Screendump", opened(t, os.O_WRONLY)); return err },
	} {
		if err := try(); errorName(err) != dbusError+"LimitsExceeded" {
			t.Errorf("%s: %v, want LimitsExceeded", what, err)
		}
	}
	if err := add("/srv/x"); err != nil {
		t.Error(err)
	}
	if n := m.counts()["add-fd"]; n != most {
		t.Errorf("QEMU got %d sets, want %d", n, most)
	}
	if _, err := c.call(qmpPath, qmpIf+".BlockdevDel", "n"); err != nil { // there is no node, says this QEMU
		t.Fatal(err)
	}
	rig.Eventually(t, "all are removed", func() bool { return m.counts()["remove-fd"] == most })
	rig.Eventually(t, "there is room again", func() bool { return add(file) == nil })
}

// TestMaxUnremoved has a QEMU before 9.1 keep what is removed while the guest does not run, as many as it may, and one more. It lets go of all
// when the guest runs.
func TestMaxUnremoved(t *testing.T) {
	m := newPassing(t)
	m.answer("query-status", paused)
	c := serve(t, m).as(admin)
	file := opened(t, os.O_WRONLY)
	dump := func() error {
		_, err := c.call(qmpPath, qmpIf+".Screendump", file)
		return err
	}
	const most = 64
	for i := range most {
		if err := dump(); err != nil {
			t.Fatalf("%d: %v", i, err)
		}
	}
	last := m.commands()[3*most-3]
	if err := dump(); errorName(err) != dbusError+"LimitsExceeded" || !strings.Contains(err.Error(), "resume the guest") {
		t.Errorf("one more: %v, want LimitsExceeded", err)
	}
	m.answer("query-fdsets", fmt.Sprintf(`[{"fdset-id":%s,"fds":[{"fd":9,"opaque":%q}]}]`, setNumbers.FindString(last), tags.FindString(last)))
	m.answer("query-status", running)
	m.client().Event("RESUME", "")
	rig.Eventually(t, "it is removed once more", func() bool { return m.counts()["remove-fd"] == most+1 })
	if err := dump(); err != nil {
		t.Error(err)
	}
}
