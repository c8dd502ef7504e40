package qmpserver_test

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"qmp-dbus-bridge/bridge/qmpserver"
	"qmp-dbus-bridge/e2e/rig"
	"qmp-dbus-bridge/qmp/fdtest"
	"qmp-dbus-bridge/qmp/socket"
)

func TestListener(t *testing.T) {
	fdtest.Check(t)
	path := filepath.Join(rig.TempDir(t), "qmp")
	l, err := qmpserver.Listen(path, 0o640, -1)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(path); err != nil || info.Mode() != fs.ModeSocket|0o640 {
		t.Errorf("the socket is %v, %v", info.Mode(), err)
	}
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	server, err := l.Accept(maxRequest)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	peer, err := server.Peer()
	if err != nil || int(peer.UID) != os.Geteuid() || int(peer.PID) != os.Getpid() || !slices.Contains(peer.GIDs, uint32(os.Getegid())) {
		t.Errorf("Peer = %+v, %v", peer, err)
	}
	accepted := make(chan error, 1)
	go func() {
		_, err := l.Accept(maxRequest)
		accepted <- err
	}()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := <-accepted; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept = %v", err)
	}
	if _, err := l.Accept(maxRequest); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after Close = %v", err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Errorf("second Close = %v", err)
	}
}

// A socket whose program was killed is replaced; one in use and what is no socket stay, and so does what another
// has put there meanwhile.
func TestLeftover(t *testing.T) {
	fdtest.Check(t)
	dir := rig.TempDir(t)
	path := filepath.Join(dir, "qmp")
	old, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := qmpserver.Listen(path, 0o600, -1); err == nil || !strings.Contains(err.Error(), "is the socket of a program that is running: choose another path") {
		t.Errorf("at one in use: %v", err)
	}
	old.SetUnlinkOnClose(false)
	old.Close()
	l, err := qmpserver.Listen(path, 0o600, -1)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(path), os.WriteFile(path, nil, 0o600), l.Close()); err != nil {
		t.Error(err)
	}
	if _, err := qmpserver.Listen(path, 0o600, -1); err == nil || !strings.Contains(err.Error(), "is no socket") {
		t.Errorf("at a file: %v", err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("another's file was removed: %v", err)
	}
}

func TestListenRefused(t *testing.T) {
	fdtest.Check(t)
	dir := rig.TempDir(t)
	open := filepath.Join(dir, "open")
	if err := errors.Join(os.Mkdir(open, 0o700), os.Chmod(open, 0o777)); err != nil {
		t.Fatal(err)
	}
	at := func(n int) string { return filepath.Join(dir, strings.Repeat("x", n-len(dir)-1)) }
	for path, want := range map[string]string{
		filepath.Join(open, "qmp"):     "can be written by others",
		filepath.Join(dir, "none/qmp"): "no such file",
		at(socket.MaxPath + 1):         "a socket's path has 107 bytes at most",
	} {
		if _, err := qmpserver.Listen(path, 0o600, -1); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Listen(%s) = %v, want %s", path, err, want)
		}
	}
	l, err := qmpserver.Listen(at(socket.MaxPath), 0o600, -1)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}
