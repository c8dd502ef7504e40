package rig

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// brokerScript starts the launcher under the process id that it expects in LISTEN_PID.
const brokerScript = `LISTEN_PID=$$ LISTEN_FDS=1 exec dbus-broker-launch --scope user --config-file "$1"`

// StartBroker starts a dbus-broker on the configuration as StartDaemon does, on
// machines without systemd too; it needs root and a machine id.
//
// dbus-broker-launch wants a listening socket from whoever starts it, and
// the journal's socket. We give it the former, and for the latter a dummy
// in a mount namespace of its own, so the machine's /run stays as it is. What
// the dummy receives becomes part of the output.
func StartBroker(t testing.TB, config string) *Bus {
	t.Helper()
	Require(t, "dbus-broker-launch", "dbus-broker")
	RequireRoot(t)
	path, address := newBus(t, config)
	listener := listen(t, address[len("unix:path="):])
	defer listener.Close()

	cmd := exec.Command("/bin/sh", "-c", brokerScript, "sh", path)
	cmd.ExtraFiles = []*os.File{listener}
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "DBUS_SESSION_BUS_ADDRESS=" + address}
	p := newProcess(cmd)
	var journal *net.UnixConn
	err := p.start(func() (err error) {
		journal, err = privateJournal()
		return err
	})
	if err != nil {
		t.Fatalf("dbus-broker: %v", err)
	}
	drained := make(chan struct{})
	go func() { defer close(drained); drain(journal, p.out) }()
	t.Cleanup(func() { p.Stop(); journal.Close(); <-drained })
	b := &Bus{Address: address, Process: p}
	b.waitReady(t)
	for _, child := range Children(t, p.PID()) {
		b.Server = child // the only one
	}
	return b
}

// listen makes the bus's socket, open to all like dbus-daemon's.
func listen(t testing.TB, path string) *os.File {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	l.SetUnlinkOnClose(false)
	if err := os.Chmod(path, 0o777); err != nil {
		t.Fatal(err)
	}
	f, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// privateJournal gives the calling thread, and what it starts, an empty /run of
// its own with a journal socket in it. The thread can't be used for anything else.
func privateJournal() (*net.UnixConn, error) {
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
		return nil, os.NewSyscallError("unshare", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return nil, os.NewSyscallError("mount", err)
	}
	if err := unix.Mount("tmpfs", "/run", "tmpfs", 0, "size=64k,mode=755"); err != nil {
		return nil, os.NewSyscallError("mount /run", err)
	}
	const journal = "/run/systemd/journal"
	if err := os.MkdirAll(journal, 0o755); err != nil {
		return nil, err
	}
	return net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(journal, "socket"), Net: "unixgram"})
}

// drain copies the datagrams into the output until the socket is closed.
func drain(journal *net.UnixConn, out *output) {
	buf := make([]byte, 64<<10)
	for {
		n, err := journal.Read(buf)
		if err != nil {
			return
		}
		_, _ = out.Write(append(buf[:n:n], '\n'))
	}
}
