package e2e_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/e2e/rig"
)

// TestDescriptors passes descriptors in the place of names and files, to what takes each, and counts what is left open.
func TestDescriptors(t *testing.T) {
	onBothBuses(t, func(t *testing.T, flags []string) { testDescriptors(t, rig.QEMUProgram(), flags) })
}

// TestDescriptorsOfOtherQEMUs is TestDescriptors on another version.
func TestDescriptorsOfOtherQEMUs(t *testing.T) { testDescriptors(t, rig.OtherQEMU(t, "10"), nil) }

func testDescriptors(t *testing.T, qemu string, flags []string) {
	vm := rig.StartQEMU(t, rig.QEMU{Program: qemu, Args: []string{"-device", "VGA,id=video0", "-vnc", "none"}})
	b := serveQEMU(t, vm, flags...)
	requireConfined(t, b.PID())
	p := passing{dial(t, b), vm, b}
	for name, pass := range passings {
		t.Run(name, func(t *testing.T) { p.leavesNothing(t, pass) })
	}
	if n := p.holding(t).sets; n > 0 {
		t.Errorf("%d sets of descriptors are left", n)
	}
}

// owners are two callers who have descriptors of their own in a QEMU. The monitor between is at a link that can be cut.
type owners struct {
	passing
	other  *client
	link   *rig.Cable
	before held
	// What is passed: a socket, and a file for both and for reading.
	socket, file, reading *os.File
	set                   int64 // of both files
}

// TestOwnedDescriptors has callers, and a QMP session, pass descriptors of their own to a QEMU, use them, leave, and be cut off while QEMU goes on.
func TestOwnedDescriptors(t *testing.T) {
	vm := rig.StartQEMU(t, rig.QEMU{Count: 2, Args: []string{"-device", "VGA,id=video0"}})
	monitor, err := net.Dial("unix", vm.Monitors[1]) // without another one, 7.2 closes what is in sets and not in use
	if err != nil {
		t.Fatal(err)
	}
	defer monitor.Close()
	link := rig.Relay(t, vm.Monitors[0])
	b := startBridge(t, "serve", "--qmp", link.Path, "--bus-dir", filepath.Join(rig.TempDir(t), "bus"))
	o := &owners{passing: passing{dial(t, b), vm, b}, other: dial(t, b), link: link}
	o.before = o.holding(t)
	mine, peer := socket(t, unix.SOCK_DGRAM)
	defer peer.Close()
	defer mine.Close()
	o.socket, o.file = mine, opened(t, os.O_RDWR, 1<<20)
	if o.reading, err = os.Open(o.file.Name()); err != nil {
		t.Fatal(err)
	}
	defer o.reading.Close()

	o.useName(t)
	o.useSet(t)
	o.haveSession(t)
	o.leaveWhileCut(t)
	o.leave(t)
	o.loseQEMU(t)
}

// useName has a descriptor by a name, which is not another's.
func (o *owners) useName(t *testing.T) {
	o.call(t, "Getfd", "net1", fdOf(o.socket))
	wantError(t, o.other.conn.Object(busName, qmpPath).Call(qmpIf+".Closefd", 0, "net1").Err, "org.qemu.VM1.Error.Qmp.GenericError")
	o.call(t, "NetdevAdd", "net1", "dgram", options("local", options("type", "fd", "str", "net1")))
	o.call(t, "NetdevDel", "net1")
}

// useSet has a file in a set, which is not another's: open for reading at first, and for writing when something writes.
func (o *owners) useSet(t *testing.T) {
	added, _ := o.call(t, "AddFd", fdOf(o.file), options("opaque", "disk")).(map[string]dbus.Variant)
	o.set, _ = added["fdset-id"].Value().(int64)
	o.call(t, "AddFd", fdOf(o.reading), options("fdset-id", o.set))
	name := fmt.Sprintf("/dev/fdset/%d", o.set)
	node := options("node-name", "disk1", "auto-read-only", true, "file", options("driver", "file", "filename", name))
	wantError(t, o.other.conn.Object(busName, qmpPath).Call(qmpIf+".BlockdevAdd", 0, "raw", node).Err, dbusError+"InvalidArgs")
	o.call(t, "BlockdevAdd", "raw", node)
	o.call(t, "BlockdevDel", "disk1")
}

// haveSession has a session with some of its own, which it may do with as it likes, and which end with it.
func (o *owners) haveSession(t *testing.T) {
	session := openSession(t, o.other.conn)
	if got := session.ask(t, `{"execute":"getfd","arguments":{"fdname":"mine"}}`, int(o.socket.Fd())); got != "{}" {
		t.Errorf("getfd of a session: %s", got)
	}
	if got := session.ask(t, `{"execute":"add-fd"}`, int(o.reading.Fd())); !strings.Contains(got, "fdset-id") {
		t.Errorf("add-fd of a session: %s", got)
	}
	if got := session.ask(t, fmt.Sprintf(`{"execute":"remove-fd","arguments":{"fdset-id":%d}}`, o.set)); !strings.Contains(got, "another's") {
		t.Errorf("remove-fd of another's: %s", got)
	}
	session.Close()
	rig.Eventually(t, "a session's are closed", func() bool { return o.holding(t).sets == o.before.sets+1 })
}

// leaveWhileCut has a caller go while QEMU can't be reached. A block node and a caller's own outlast a connection; what is left by who
// goes meanwhile does not.
func (o *owners) leaveWhileCut(t *testing.T) {
	leaver := dial(t, o.b)
	leaver.call(t, "AddFd", fdOf(o.reading), options())
	leaver.call(t, "Getfd", "left", fdOf(o.socket))
	o.call(t, "BlockdevAdd", "raw", options("node-name", "disk2", "file", options("driver", "file", "filename", fdOf(o.file))))
	o.link.Cut()
	leaver.conn.Close()
	rig.Eventually(t, "QEMU is reached again", func() bool {
		_, err := qmp(o.conn, "query-name", nil)
		return err == nil
	})
	rig.Eventually(t, "what is left is closed", func() bool { return o.holding(t).sets == o.before.sets+2 })
	o.call(t, "BlockResize", int64(2<<20), options("node-name", "disk2"))
	o.call(t, "BlockdevDel", "disk2")
	rig.Eventually(t, "the node's is removed", func() bool { return o.holding(t).sets == o.before.sets+1 })
}

// leave has the owner of the set go, and another client in its place.
func (o *owners) leave(t *testing.T) {
	o.conn.Close()
	o.client = dial(t, o.b)
	rig.Eventually(t, "QEMU has no more than before", func() bool { return o.holding(t).atMost(o.before) })
}

// loseQEMU has QEMU go in the middle of calls.
func (o *owners) loseQEMU(t *testing.T) {
	free := len(rig.FDs(t, o.b.PID()))
	var calls []*dbus.Call
	for range 20 {
		calls = append(calls, o.conn.Object(busName, qmpPath).Go(qmpIf+".Screendump", 0, nil, fdOf(opened(t, os.O_WRONLY, 0))))
	}
	o.vm.Stop()
	for _, call := range calls {
		if err := (<-call.Done).Err; err != nil && errorName(err) != "org.qemu.VM1.Error.Disconnected" {
			t.Error(err)
		}
	}
	rig.Eventually(t, "the bridge has no more than before", func() bool { return len(rig.FDs(t, o.b.PID())) <= free })
}

// qmpSession is one that OpenQMP gives.
type qmpSession struct {
	*net.UnixConn
	in *bufio.Reader
}

func openSession(t testing.TB, conn *dbus.Conn) *qmpSession {
	t.Helper()
	var fd dbus.UnixFD
	if err := conn.Object(busName, vmPath).Call(busName+".OpenQMP", 0).Store(&fd); err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fd), "session")
	defer file.Close()
	client, err := net.FileConn(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	s := &qmpSession{client.(*net.UnixConn), bufio.NewReader(client)}
	if _, err := s.in.ReadString('\n'); err != nil { // the greeting
		t.Fatal(err)
	}
	s.ask(t, `{"execute":"qmp_capabilities"}`)
	return s
}

// ask executes a command with descriptors, and returns what it returns, or why it does not.
func (s *qmpSession) ask(t testing.TB, command string, fds ...int) string {
	t.Helper()
	if _, _, err := s.WriteMsgUnix([]byte(command), unix.UnixRights(fds...), nil); err != nil {
		t.Fatal(err)
	}
	for {
		if err := s.SetReadDeadline(time.Now().Add(rig.Timeout)); err != nil {
			t.Fatal(err)
		}
		line, err := s.in.ReadString('\n')
		var told struct {
			Return json.RawMessage
			Error  struct{ Desc string }
			Event  string
		}
		if err := errors.Join(err, json.Unmarshal([]byte(line), &told)); err != nil {
			t.Fatal(err)
		}
		if told.Event == "" {
			return string(told.Return) + told.Error.Desc
		}
	}
}

// TestDescriptorsOfLeavers has callers leave right after calls with descriptors, at whichever step these are then. What has been begun is
// ended, and nothing is left.
func TestDescriptorsOfLeavers(t *testing.T) {
	onBothBuses(t, func(t *testing.T, flags []string) {
		vm := rig.StartQEMU(t, rig.QEMU{Args: []string{"-device", "VGA,id=video0"}})
		b := serveQEMU(t, vm, flags...)
		p := passing{dial(t, b), vm, b}
		before := p.holding(t)
		output := opened(t, os.O_WRONLY, 0)
		mine, peer := socket(t, unix.SOCK_STREAM)
		defer mine.Close()
		defer peer.Close()
		for n := range 40 {
			r := rig.DialRaw(t, rig.Self(), b.address)
			for _, one := range []struct {
				member string
				args   []any
				file   *os.File
			}{
				{"Screendump", []any{dbus.UnixFDIndex(0), options("device", "video0")}, output},
				{"Getfd", []any{fmt.Sprintf("x%d", n), dbus.UnixFDIndex(0)}, mine},
				{"AddFd", []any{dbus.UnixFDIndex(0), options()}, output},
				{"AddClient", []any{"spice", dbus.UnixFDIndex(0)}, mine}, // there is none; of vnc QEMU would keep it then
			} {
				if err := r.SendFDs(t, rig.CallMessage(busName, qmpPath, qmpIf, one.member, one.args...), int(one.file.Fd())); err != nil {
					t.Fatal(err)
				}
			}
			if n%2 == 0 {
				r.Reply(t) // the first is done, and the others may be
			}
			r.Close()
		}
		rig.Eventually(t, "nothing is left", func() bool {
			now := p.holding(t)
			return now.qemu <= before.qemu && now.bridge <= before.bridge && now.sets == 0
		})
		p.call(t, "Getfd", "x0", fdOf(mine)) // the name is free
	})
}

// TestDescriptorsWhilePaused has the guest stand still: then 7.2 keeps what is removed, and lets go of it when it runs.
func TestDescriptorsWhilePaused(t *testing.T) {
	vm := rig.StartQEMU(t, rig.QEMU{Args: []string{"-device", "VGA,id=video0"}})
	b := serveQEMU(t, vm)
	p := passing{dial(t, b), vm, b}
	before := p.holding(t)
	p.call(t, "Stop")
	rig.Eventually(t, "the bridge knows that", func() bool { return get[string](t, p.conn, "Status") == "paused" })
	file := opened(t, os.O_WRONLY, 0)
	const some = 5
	for range some {
		p.call(t, "Screendump", fdOf(file))
	}
	if now := p.holding(t); now.sets != before.sets+some && now.sets != before.sets {
		t.Errorf("%d sets after %d screenshots of a paused guest, %d before", now.sets, some, before.sets)
	}
	p.call(t, "Cont")
	rig.Eventually(t, "all are gone", func() bool {
		now := p.holding(t)
		return now.sets == before.sets && now.qemu <= before.qemu
	})
}
