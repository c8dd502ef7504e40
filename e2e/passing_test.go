package e2e_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
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

// passing is a client that passes descriptors to a QEMU by a bridge.
type passing struct {
	*client
	vm *rig.QEMU
	b  *bridge
}

// held counts what a QEMU and a bridge have open, and the sets of descriptors that QEMU has some in.
type held struct{ qemu, bridge, sets int }

// atMost tells whether no more is held of anything.
func (h held) atMost(most held) bool {
	return h.qemu <= most.qemu && h.bridge <= most.bridge && h.sets <= most.sets
}

func (p passing) holding(t testing.TB) held {
	t.Helper()
	h := held{qemu: len(rig.FDs(t, p.vm.PID())), bridge: len(rig.FDs(t, p.b.PID()))}
	for _, set := range fdsets(t, p.conn) {
		if fds, _ := set.(map[string]dbus.Variant)["fds"].Value().([]map[string]dbus.Variant); len(fds) > 0 {
			h.sets++
		}
	}
	return h
}

// leavesNothing passes descriptors several times, and checks that no more is open afterwards than before.
func (p passing) leavesNothing(t *testing.T, pass func(passing, *testing.T)) {
	pass(p, t) // QEMU may open more for itself at first
	var before held
	rig.Eventually(t, "it is quiet", func() bool {
		last := before
		before = p.holding(t)
		return before == last
	})
	for range 3 {
		pass(p, t)
	}
	rig.Eventually(t, "no more is open than before", func() bool { return p.holding(t).atMost(before) })
}

// passings are what descriptors are passed to in the place of names and files.
var passings = map[string]func(passing, *testing.T){
	"a file that QEMU writes":    passing.written,
	"a file open in another way": passing.openOtherwise,
	"a file that QEMU reads":     passing.read,
	"a drive":                    passing.drive,
	"a drive for reading":        passing.readOnlyDrive,
	"a new image":                passing.newImage,
	"character devices":          passing.chardevs,
	"network":                    passing.network,
	"a server":                   passing.server,
	"a dump":                     passing.dump,
	"a client":                   passing.vncClient,
}

func (p passing) written(t *testing.T) {
	file := opened(t, os.O_WRONLY, 0)
	p.call(t, "Screendump", fdOf(file), options("device", "video0"))
	if text := readFile(t, file.Name()); !bytes.HasPrefix([]byte(text), []byte("P6\n")) {
		t.Errorf("QEMU wrote %.10q", text)
	}
	err := p.conn.Object(busName, qmpPath).Call(qmpIf+".Screendump", 0, fdOf(file), options("device", "nosuch")).Err
	wantError(t, err, "org.qemu.VM1.Error.Qmp.DeviceNotFound")
}

func (p passing) openOtherwise(t *testing.T) {
	_, err := qmp(p.conn, "screendump", map[string]any{"filename": fdOf(opened(t, os.O_RDWR, 0))})
	wantError(t, err, dbusError+"InvalidArgs")
}

func (p passing) read(t *testing.T) {
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
		if _, err := qmp(p.conn, call.command, call.arguments); err != nil {
			t.Fatal(err)
		}
	}
}

func (p passing) drive(t *testing.T) {
	file := opened(t, os.O_RDWR, 1<<20)
	rig.Eventually(t, "no set is left of others", func() bool { return p.holding(t).sets == 0 })
	node := options("node-name", "disk1", "file", options("driver", "file", "filename", fdOf(file)))
	p.call(t, "BlockdevAdd", "raw", node)
	if now := p.holding(t); now.sets != 1 {
		t.Errorf("%d sets of descriptors with a node of one", now.sets)
	}
	p.call(t, "BlockResize", int64(2<<20), options("node-name", "disk1"))
	if info, err := file.Stat(); err != nil || info.Size() != 2<<20 {
		t.Errorf("%v, %v, want 2 MiB", info, err)
	}
	p.call(t, "BlockdevDel", "disk1")
	rig.Eventually(t, "its set is removed", func() bool { return p.holding(t).sets == 0 })
	err := p.conn.Object(busName, qmpPath).Call(qmpIf+".BlockdevAdd", 0, "qcow2", node).Err // the file is none
	wantError(t, err, "org.qemu.VM1.Error.Qmp.GenericError")
}

func (p passing) readOnlyDrive(t *testing.T) {
	p.call(t, "BlockdevAdd", "raw", options("node-name", "disk2", "read-only", true, "file", options("driver", "file", "filename", fdOf(opened(t, os.O_RDONLY, 1<<20)))))
	p.call(t, "BlockdevDel", "disk2")
}

func (p passing) newImage(t *testing.T) {
	file := opened(t, os.O_RDWR, 0)
	p.call(t, "BlockdevCreate", "create1", options("driver", "file", "filename", fdOf(file), "size", int64(1<<20)))
	rig.Eventually(t, "it is made", func() bool {
		info, err := file.Stat()
		return err == nil && info.Size() == 1<<20
	})
	rig.Eventually(t, "the job ends", func() bool {
		return p.conn.Object(busName, qmpPath).Call(qmpIf+".JobDismiss", 0, "create1").Err == nil
	})
}

func (p passing) chardevs(t *testing.T) {
	file := opened(t, os.O_WRONLY, 0)
	mine, peer := socket(t, unix.SOCK_STREAM)
	defer mine.Close()
	defer peer.Close()
	for id, backend := range map[string]map[string]dbus.Variant{
		"file1": options("type", "file", "data", options("out", fdOf(file))),
		"log1":  options("type", "null", "data", options("logfile", fdOf(opened(t, os.O_WRONLY, 0)))),
		"sock1": options("type", "socket", "data", options("server", false, "addr", options("type", "fd", "data", options("str", fdOf(mine))))),
	} {
		p.call(t, "ChardevAdd", id, backend)
		p.call(t, "ChardevRemove", id)
	}
	mine.Close()
	if _, err := peer.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("read of a socket that QEMU has closed: %v", err)
	}
}

func (p passing) network(t *testing.T) {
	for id, kind := range map[string]int{"dgram": unix.SOCK_DGRAM, "socket": unix.SOCK_STREAM} {
		mine, peer := socket(t, kind)
		how := options("fd", fdOf(mine))
		if id == "dgram" {
			how = options("local", options("type", "fd", "str", fdOf(mine)))
		}
		p.call(t, "NetdevAdd", "net-"+id, id, how)
		p.call(t, "NetdevDel", "net-"+id)
		mine.Close()
		peer.Close()
	}
}

func (p passing) server(t *testing.T) {
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
	p.call(t, "NbdServerStart", options("type", "fd", "data", options("str", fdOf(file))), options())
	conn, err := net.Dial("unix", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(rig.Timeout)); err != nil {
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
	if _, err := io.Copy(io.Discard, conn); err != nil {
		t.Errorf("until QEMU closes the connection: %v", err)
	}
	p.call(t, "NbdServerStop")
}

func (p passing) dump(t *testing.T) {
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	defer writer.Close()
	if err := reader.SetReadDeadline(time.Now().Add(rig.Timeout)); err != nil {
		t.Fatal(err)
	}
	read := make(chan string, 1)
	go func() {
		text := make([]byte, 4)
		_, err := io.ReadFull(reader, text)
		_, rest := io.Copy(io.Discard, reader)
		if err := errors.Join(err, rest); err != nil {
			text = []byte(err.Error())
		}
		read <- string(text)
	}()
	p.call(t, "DumpGuestMemory", false, fdOf(writer))
	writer.Close()
	if text := <-read; text != "\x7fELF" {
		t.Errorf("QEMU wrote %q", text)
	}
}

func (p passing) vncClient(t *testing.T) {
	mine, peer := socket(t, unix.SOCK_STREAM)
	defer peer.Close()
	defer mine.Close()
	p.call(t, "AddClient", "vnc", fdOf(mine))
	mine.Close()
	text := make([]byte, 4)
	if _, err := io.ReadFull(peer, text); err != nil || string(text) != "RFB " {
		t.Errorf("read %q, %v", text, err)
	}
}
