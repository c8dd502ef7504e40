package e2e_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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

// opened is a file of this size that is open in a mode, for QEMU to be passed.
func opened(t testing.TB, mode int, size int64) *os.File {
	t.Helper()
	path := filepath.Join(rig.TempDir(t), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(path, mode, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return file
}

// socket is one that a descriptor is passed of, and what is at its other end.
func socket(t testing.TB, kind int) (passed, peer *os.File) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	return os.NewFile(uintptr(fds[0]), "passed"), os.NewFile(uintptr(fds[1]), "peer")
}

func fdOf(f *os.File) dbus.UnixFD { return dbus.UnixFD(f.Fd()) }

// held counts what a QEMU and a bridge have open, and the sets of descriptors that QEMU has some in.
type held struct{ qemu, bridge, sets int }

func holding(t testing.TB, vm *rig.QEMU, b *bridge, conn *dbus.Conn) held {
	t.Helper()
	h := held{qemu: len(rig.FDs(t, vm.PID())), bridge: len(rig.FDs(t, b.PID()))}
	for _, set := range fdsets(t, conn) {
		if fds, _ := set.(map[string]dbus.Variant)["fds"].Value().([]map[string]dbus.Variant); len(fds) > 0 {
			h.sets++
		}
	}
	return h
}

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
	c := dial(t, b)
	for name, pass := range map[string]func(t *testing.T){
		"a file that QEMU writes": func(t *testing.T) {
			file := opened(t, os.O_WRONLY, 0)
			c.call(t, "Screendump", fdOf(file), options("device", "video0"))
			if text := readFile(t, file.Name()); !bytes.HasPrefix([]byte(text), []byte("P6\n")) {
				t.Errorf("QEMU wrote %.10q", text)
			}
			err := c.conn.Object(busName, qmpPath).Call(qmpIf+".Screendump", 0, fdOf(file), options("device", "nosuch")).Err
			wantError(t, err, "org.qemu.VM1.Error.Qmp.DeviceNotFound")
		},
		"a file open in another way": func(t *testing.T) {
			_, err := qmp(c.conn, "screendump", map[string]any{"filename": fdOf(opened(t, os.O_RDWR, 0))})
			wantError(t, err, dbusError+"InvalidArgs")
		},
		"a file that QEMU reads": func(t *testing.T) {
			file, err := os.Open("/dev/urandom")
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			for _, call := range []struct {
				command   string
				arguments map[string]any
			}{
				{"object-add", map[string]any{"qom-type": "rng-random", "id": "rng1", "filename": fdOf(file)}},
				{"object-del", map[string]any{"id": "rng1"}},
			} {
				if _, err := qmp(c.conn, call.command, call.arguments); err != nil {
					t.Fatal(err)
				}
			}
		},
		"a drive": func(t *testing.T) {
			file := opened(t, os.O_RDWR, 1<<20)
			rig.Eventually(t, "no set is left of others", func() bool { return holding(t, vm, b, c.conn).sets == 0 })
			node := options("node-name", "disk1", "file", options("driver", "file", "filename", fdOf(file)))
			c.call(t, "BlockdevAdd", "raw", node)
			if now := holding(t, vm, b, c.conn); now.sets != 1 {
				t.Errorf("%d sets of descriptors with a node of one", now.sets)
			}
			c.call(t, "BlockResize", int64(2<<20), options("node-name", "disk1"))
			if info, err := file.Stat(); err != nil || info.Size() != 2<<20 {
				t.Errorf("%v, %v, want 2 MiB", info, err)
			}
			c.call(t, "BlockdevDel", "disk1")
			rig.Eventually(t, "its set is removed", func() bool { return holding(t, vm, b, c.conn).sets == 0 })
			err := c.conn.Object(busName, qmpPath).Call(qmpIf+".BlockdevAdd", 0, "qcow2", node).Err // the file is none
			wantError(t, err, "org.qemu.VM1.Error.Qmp.GenericError")
		},
		"a drive for reading": func(t *testing.T) {
			c.call(t, "BlockdevAdd", "raw", options("node-name", "disk2", "read-only", true, "file", options("driver", "file", "filename", fdOf(opened(t, os.O_RDONLY, 1<<20)))))
			c.call(t, "BlockdevDel", "disk2")
		},
		"a new image": func(t *testing.T) {
			file := opened(t, os.O_RDWR, 0)
			c.call(t, "BlockdevCreate", "create1", options("driver", "file", "filename", fdOf(file), "size", int64(1<<20)))
			rig.Eventually(t, "it is made", func() bool {
				info, err := file.Stat()
				return err == nil && info.Size() == 1<<20
			})
			rig.Eventually(t, "the job ends", func() bool {
				return c.conn.Object(busName, qmpPath).Call(qmpIf+".JobDismiss", 0, "create1").Err == nil
			})
		},
		"character devices": func(t *testing.T) {
			file := opened(t, os.O_WRONLY, 0)
			mine, peer := socket(t, unix.SOCK_STREAM)
			defer mine.Close()
			defer peer.Close()
			for id, backend := range map[string]map[string]dbus.Variant{
				"file1": options("type", "file", "data", options("out", fdOf(file))),
				"log1":  options("type", "null", "data", options("logfile", fdOf(opened(t, os.O_WRONLY, 0)))),
				"sock1": options("type", "socket", "data", options("server", false, "addr", options("type", "fd", "data", options("str", fdOf(mine))))),
			} {
				c.call(t, "ChardevAdd", id, backend)
				c.call(t, "ChardevRemove", id)
			}
			mine.Close()
			if _, err := peer.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("read of a socket that QEMU has closed: %v", err)
			}
		},
		"network": func(t *testing.T) {
			for id, kind := range map[string]int{"dgram": unix.SOCK_DGRAM, "socket": unix.SOCK_STREAM} {
				mine, peer := socket(t, kind)
				how := options("fd", fdOf(mine))
				if id == "dgram" {
					how = options("local", options("type", "fd", "str", fdOf(mine)))
				}
				c.call(t, "NetdevAdd", "net-"+id, id, how)
				c.call(t, "NetdevDel", "net-"+id)
				mine.Close()
				peer.Close()
			}
		},
		"a server": func(t *testing.T) {
			listener, err := net.Listen("unix", filepath.Join(rig.TempDir(t), "nbd"))
			if err != nil {
				t.Fatal(err)
			}
			defer listener.Close()
			file, err := listener.(*net.UnixListener).File()
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			c.call(t, "NbdServerStart", options("type", "fd", "data", options("str", fdOf(file))), options())
			conn, err := net.Dial("unix", listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			greeting := make([]byte, 8)
			if _, err := io.ReadFull(conn, greeting); err != nil || string(greeting) != "NBDMAGIC" {
				t.Errorf("read %q, %v", greeting, err)
			}
			// QEMU 7.2 stops for good if it is told to stop with a client that has not said what it wants, and sees later that it has gone.
			if err := conn.(*net.UnixConn).CloseWrite(); err != nil {
				t.Error(err)
			}
			_, _ = io.Copy(io.Discard, conn) // until QEMU has closed it
			conn.Close()
			c.call(t, "NbdServerStop")
		},
		"a dump": func(t *testing.T) {
			reader, writer, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer reader.Close()
			defer writer.Close()
			read := make(chan string, 1)
			go func() {
				text := make([]byte, 4)
				_, _ = io.ReadFull(reader, text)
				_, _ = io.Copy(io.Discard, reader)
				read <- string(text)
			}()
			c.call(t, "DumpGuestMemory", false, fdOf(writer))
			writer.Close()
			if text := <-read; text != "\x7fELF" {
				t.Errorf("QEMU wrote %q", text)
			}
		},
		"a client": func(t *testing.T) {
			mine, peer := socket(t, unix.SOCK_STREAM)
			defer peer.Close()
			defer mine.Close()
			c.call(t, "AddClient", "vnc", fdOf(mine))
			mine.Close()
			text := make([]byte, 4)
			if _, err := io.ReadFull(peer, text); err != nil || string(text) != "RFB " {
				t.Errorf("read %q, %v", text, err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			pass(t) // QEMU may open more for itself at first
			var before held
			rig.Eventually(t, "it is quiet", func() bool {
				last := before
				before = holding(t, vm, b, c.conn)
				return before == last
			})
			for range 3 {
				pass(t)
			}
			rig.Eventually(t, "no more is open than before", func() bool {
				now := holding(t, vm, b, c.conn)
				return now.qemu <= before.qemu && now.bridge <= before.bridge && now.sets <= before.sets
			})
		})
	}
	if n := holding(t, vm, b, c.conn).sets; n > 0 {
		t.Errorf("%d sets of descriptors are left", n)
	}
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
	c, other := dial(t, b), dial(t, b)
	before := holding(t, vm, b, c.conn)

	mine, peer := socket(t, unix.SOCK_DGRAM)
	defer peer.Close()
	defer mine.Close()
	c.call(t, "Getfd", "net1", fdOf(mine))
	wantError(t, other.conn.Object(busName, qmpPath).Call(qmpIf+".Closefd", 0, "net1").Err, "org.qemu.VM1.Error.Qmp.GenericError")
	c.call(t, "NetdevAdd", "net1", "dgram", options("local", options("type", "fd", "str", "net1")))
	c.call(t, "NetdevDel", "net1")

	// Open for reading at first, and for writing when something writes.
	file := opened(t, os.O_RDWR, 1<<20)
	reading, err := os.Open(file.Name())
	if err != nil {
		t.Fatal(err)
	}
	defer reading.Close()
	added, _ := c.call(t, "AddFd", fdOf(file), options("opaque", "disk")).(map[string]dbus.Variant)
	set, _ := added["fdset-id"].Value().(int64)
	c.call(t, "AddFd", fdOf(reading), options("fdset-id", set))
	name := fmt.Sprintf("/dev/fdset/%d", set)
	node := options("node-name", "disk1", "auto-read-only", true, "file", options("driver", "file", "filename", name))
	wantError(t, other.conn.Object(busName, qmpPath).Call(qmpIf+".BlockdevAdd", 0, "raw", node).Err, dbusError+"InvalidArgs")
	c.call(t, "BlockdevAdd", "raw", node)
	c.call(t, "BlockdevDel", "disk1")

	session := openSession(t, other.conn)
	if got := session.ask(t, `{"execute":"getfd","arguments":{"fdname":"mine"}}`, int(mine.Fd())); got != "{}" {
		t.Errorf("getfd of a session: %s", got)
	}
	if got := session.ask(t, `{"execute":"add-fd"}`, int(reading.Fd())); !strings.Contains(got, "fdset-id") {
		t.Errorf("add-fd of a session: %s", got)
	}
	if got := session.ask(t, fmt.Sprintf(`{"execute":"remove-fd","arguments":{"fdset-id":%d}}`, set)); !strings.Contains(got, "another's") {
		t.Errorf("remove-fd of another's: %s", got)
	}
	session.Close()
	rig.Eventually(t, "a session's are closed", func() bool { return holding(t, vm, b, c.conn).sets == before.sets+1 })

	// A block node and a caller's own outlast a connection; what is left by who goes meanwhile does not.
	leaver := dial(t, b)
	leaver.call(t, "AddFd", fdOf(reading), options())
	leaver.call(t, "Getfd", "left", fdOf(mine))
	c.call(t, "BlockdevAdd", "raw", options("node-name", "disk2", "file", options("driver", "file", "filename", fdOf(file))))
	link.Cut()
	leaver.conn.Close()
	rig.Eventually(t, "QEMU is reached again", func() bool {
		_, err := qmp(c.conn, "query-name", nil)
		return err == nil
	})
	rig.Eventually(t, "what is left is closed", func() bool { return holding(t, vm, b, c.conn).sets == before.sets+2 })
	c.call(t, "BlockResize", int64(2<<20), options("node-name", "disk2"))
	c.call(t, "BlockdevDel", "disk2")
	rig.Eventually(t, "the node's is removed", func() bool { return holding(t, vm, b, c.conn).sets == before.sets+1 })
	c.conn.Close()
	counter := dial(t, b)
	rig.Eventually(t, "QEMU has no more than before", func() bool {
		now := holding(t, vm, b, counter.conn)
		return now.qemu <= before.qemu && now.sets == before.sets && now.bridge <= before.bridge
	})

	// QEMU goes in the middle of calls.
	free := len(rig.FDs(t, b.PID()))
	var calls []*dbus.Call
	for range 20 {
		calls = append(calls, counter.conn.Object(busName, qmpPath).Go(qmpIf+".Screendump", 0, nil, fdOf(opened(t, os.O_WRONLY, 0))))
	}
	vm.Stop()
	for _, call := range calls {
		if err := (<-call.Done).Err; err != nil && errorName(err) != "org.qemu.VM1.Error.Disconnected" {
			t.Error(err)
		}
	}
	rig.Eventually(t, "the bridge has no more than before", func() bool { return len(rig.FDs(t, b.PID())) <= free })
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
		c := dial(t, b)
		before := holding(t, vm, b, c.conn)
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
			now := holding(t, vm, b, c.conn)
			return now.qemu <= before.qemu && now.bridge <= before.bridge && now.sets == 0
		})
		c.call(t, "Getfd", "x0", fdOf(mine)) // the name is free
	})
}

// TestDescriptorsWhilePaused has the guest stand still: then 7.2 keeps what is removed, and lets go of it when it runs.
func TestDescriptorsWhilePaused(t *testing.T) {
	vm := rig.StartQEMU(t, rig.QEMU{Args: []string{"-device", "VGA,id=video0"}})
	b := serveQEMU(t, vm)
	c := dial(t, b)
	before := holding(t, vm, b, c.conn)
	c.call(t, "Stop")
	rig.Eventually(t, "the bridge knows that", func() bool { return get[string](t, c.conn, "Status") == "paused" })
	file := opened(t, os.O_WRONLY, 0)
	const some = 5
	for range some {
		c.call(t, "Screendump", fdOf(file))
	}
	if now := holding(t, vm, b, c.conn); now.sets != before.sets+some && now.sets != before.sets {
		t.Errorf("%d sets after %d screenshots of a paused guest, %d before", now.sets, some, before.sets)
	}
	c.call(t, "Cont")
	rig.Eventually(t, "all are gone", func() bool {
		now := holding(t, vm, b, c.conn)
		return now.sets == before.sets && now.qemu <= before.qemu
	})
}
