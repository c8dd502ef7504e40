package socket_test

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/e2e/rig"
	"qmp-dbus-bridge/qmp/fdtest"
	"qmp-dbus-bridge/qmp/socket"
)

// A client's groups, of which there are none, one, or more than fit into the first buffer, are those it connected with.
func TestPeerGroups(t *testing.T) {
	rig.RequireRoot(t)
	fdtest.Check(t)
	path := filepath.Join(rig.TempDir(t), "s")
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrUnix{Name: path}), unix.Listen(fd, 1)); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 1, 64, 65, 1000} {
		groups := make([]uint32, n)
		for i := range groups {
			groups[i] = uint32(1000 + i)
		}
		cmd := exec.Command("python3", "-c", "import socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\ns.recv(1)", path)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 0, Gid: 7, Groups: groups}, Pdeathsig: unix.SIGKILL}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		peer, _, err := unix.Accept4(fd, unix.SOCK_CLOEXEC)
		if err != nil {
			t.Fatal(err)
		}
		c, err := socket.New(peer)
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.PeerGroups()
		if err != nil || !slices.Equal(got, groups) {
			t.Errorf("PeerGroups = %v, %v, want %d from 1000 on", got, err, n)
		}
		if cred, err := c.PeerCredentials(); err != nil || cred.Gid != 7 {
			t.Errorf("PeerCredentials = %+v, %v", cred, err)
		}
		c.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
}

// The label is the one that the kernel shows of a process, or empty without a security module.
func TestPeerLabel(t *testing.T) {
	c, _ := pair(t)
	want, err := os.ReadFile("/proc/self/attr/current")
	if err != nil {
		want = nil
	}
	if got, err := c.PeerLabel(); err != nil || got != "" && got != strings.TrimRight(string(want), "\x00\n") {
		t.Errorf("PeerLabel = %q, %v; the process has %q", got, err, want)
	}
	c.Close()
	if _, err := c.PeerLabel(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("PeerLabel after Close = %v", err)
	}
	if _, err := c.PeerGroups(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("PeerGroups after Close = %v", err)
	}
}

func TestFlush(t *testing.T) {
	a, b := pair(t)
	if err := a.Flush(); err != nil {
		t.Errorf("Flush of nothing = %v", err)
	}
	n := fill(t, a)
	flushed := make(chan error, 1)
	go func() { flushed <- a.Flush() }()
	readN(t, b, n)
	if err := <-flushed; err != nil || a.Queued() != 0 {
		t.Errorf("Flush = %v with %d bytes queued", err, a.Queued())
	}
	fill(t, a)
	go func() { flushed <- a.Flush() }()
	b.Close()
	if err := <-flushed; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Flush to who has gone = %v, want net.ErrClosed", err)
	}
}

// What had come is read, then the end, and what is sent still arrives.
func TestStopReading(t *testing.T) {
	a, b := pair(t)
	if err := b.Send([]byte("before"), nil); err != nil {
		t.Fatal(err)
	}
	a.StopReading()
	readN(t, a, len("before"))
	if n, _, err := a.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("Read = %d, %v", n, err)
	}
	if err := a.Send([]byte("answer"), nil); err != nil {
		t.Error(err)
	}
	if got, _ := readN(t, b, len("answer")); string(got) != "answer" {
		t.Errorf("%q", got)
	}
	a.Close()
	a.StopReading() // does nothing
}
