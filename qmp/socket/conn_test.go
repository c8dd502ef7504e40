package socket_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/qmp/fdtest"
	"qmp-dbus-bridge/qmp/socket"
)

func TestNewRefuses(t *testing.T) {
	socketOf := func(domain, kind int) int {
		fd, err := unix.Socket(domain, kind|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		return fd
	}
	w, _ := fdtest.Pipe(t)
	tests := []struct {
		name string
		fd   int
		want error
	}{
		{"pipe", w, unix.ENOTSOCK},
		{"datagram", socketOf(unix.AF_UNIX, unix.SOCK_DGRAM), nil},
		{"internet", socketOf(unix.AF_INET, unix.SOCK_STREAM), nil},
		{"unconnected", socketOf(unix.AF_UNIX, unix.SOCK_STREAM), unix.ENOTCONN},
		{"not open", 1 << 20, unix.EBADF},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := socket.New(test.fd)
			if err == nil || test.want != nil && !errors.Is(err, test.want) {
				t.Errorf("New = %v, want %v", err, test.want)
			}
			if _, err := unix.FcntlInt(uintptr(test.fd), unix.F_GETFD, 0); err != unix.EBADF {
				t.Errorf("New left the file descriptor open: %v", err)
			}
		})
	}
}

func TestNewSetsBlockingAndCloseOnExec(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[1])
	c, err := socket.New(fds[0])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if flags, _ := unix.FcntlInt(uintptr(fds[0]), unix.F_GETFL, 0); flags&unix.O_NONBLOCK != 0 {
		t.Error("the socket is not blocking")
	}
	if flags, _ := unix.FcntlInt(uintptr(fds[0]), unix.F_GETFD, 0); flags&unix.FD_CLOEXEC == 0 {
		t.Error("the socket is not close-on-exec")
	}
}

func TestPairAndCredentials(t *testing.T) {
	fdtest.Check(t)
	c, peer, err := socket.Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	if _, err := peer.WriteString("hello"); err != nil {
		t.Fatal(err)
	}
	if got, _ := readN(t, c, 5); string(got) != "hello" {
		t.Errorf("Read = %q, want hello", got)
	}
	cred, err := c.PeerCredentials()
	if err != nil || int(cred.Uid) != os.Getuid() || int(cred.Pid) != os.Getpid() {
		t.Errorf("PeerCredentials = %+v, %v, want our own", cred, err)
	}
	c.Close()
	if _, err := c.PeerCredentials(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("PeerCredentials after Close = %v, want net.ErrClosed", err)
	}
}

func TestDial(t *testing.T) {
	fdtest.Check(t)
	for _, path := range []string{filepath.Join(t.TempDir(), "s"), "@qmp-dbus-bridge-test-" + t.Name()} {
		listener, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		c, err := socket.Dial(context.Background(), path)
		if err != nil {
			t.Fatal(err)
		}
		peer, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Send([]byte("hi"), nil); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 2)
		if _, err := io.ReadFull(peer, got); err != nil || string(got) != "hi" {
			t.Errorf("%s: peer got %q, %v", path, got, err)
		}
		c.Close()
		peer.Close()
		listener.Close()
	}
}

func TestDialErrors(t *testing.T) {
	fdtest.Check(t)
	dir := t.TempDir()
	dead := filepath.Join(dir, "dead")
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: dead, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	listener.SetUnlinkOnClose(false)
	listener.Close()
	tests := []struct {
		name, path string
		want       error
		text       string
	}{
		{"absent", filepath.Join(dir, "absent"), fs.ErrNotExist, "absent"},
		{"nobody listens", dead, unix.ECONNREFUSED, "dead"},
		{"empty", "", nil, "empty path"},
		{"one byte too long", "/" + strings.Repeat("x", socket.MaxPath), nil, "108 bytes is longer than 107"},
		{"longest", "/" + strings.Repeat("x", socket.MaxPath-1), fs.ErrNotExist, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := socket.Dial(context.Background(), test.path)
			if err == nil || test.want != nil && !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.text) {
				t.Errorf("Dial = %v, want %v with %q", err, test.want, test.text)
			}
		})
	}
}

// With a full backlog the kernel answers EAGAIN; Dial waits until ctx ends.
func TestDialFullBacklog(t *testing.T) {
	fdtest.Check(t)
	path := filepath.Join(t.TempDir(), "s")
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrUnix{Name: path}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	first, err := socket.Dial(context.Background(), path) // takes the one place
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := socket.Dial(ctx, path); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Dial = %v, want context.DeadlineExceeded", err)
	}
	time.AfterFunc(20*time.Millisecond, func() {
		if peer, _, err := unix.Accept(fd); err == nil {
			unix.Close(peer)
		}
	})
	second, err := socket.Dial(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	second.Close()
}

func TestCloseWakesRead(t *testing.T) {
	a, _ := pair(t)
	read := make(chan error)
	go func() {
		_, _, err := a.Read(make([]byte, 1))
		read <- err
	}()
	time.Sleep(10 * time.Millisecond) // let it block; without that the test is easier, not wrong
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() { a.Close() })
	}
	if err := <-read; err != net.ErrClosed {
		t.Errorf("Read = %v, want net.ErrClosed", err)
	}
	all.Wait()
	if _, _, err := a.Read(make([]byte, 1)); err != net.ErrClosed {
		t.Errorf("Read after Close = %v, want net.ErrClosed", err)
	}
}

func TestReadDeadline(t *testing.T) {
	a, b := pair(t)
	buf := make([]byte, 10)
	a.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	if _, _, err := a.Read(buf); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Read = %v, want os.ErrDeadlineExceeded", err)
	}
	if err := b.Send([]byte("x"), nil); err != nil {
		t.Fatal(err)
	}
	a.SetReadDeadline(time.Now().Add(time.Minute))
	if n, _, err := a.Read(buf); n != 1 || err != nil {
		t.Errorf("Read = %d, %v, want 1 byte", n, err)
	}
	a.SetReadDeadline(time.Time{})
	time.AfterFunc(20*time.Millisecond, func() { b.Send([]byte("y"), nil) })
	if n, _, err := a.Read(buf); n != 1 || err != nil {
		t.Errorf("Read = %d, %v, want 1 byte", n, err)
	}
	a.SetReadDeadline(time.Now().Add(time.Minute))
	time.AfterFunc(20*time.Millisecond, func() { a.Close() })
	if _, _, err := a.Read(buf); err != net.ErrClosed {
		t.Errorf("Read = %v, want net.ErrClosed", err)
	}
}

func TestEndOfStream(t *testing.T) {
	a, b := pair(t)
	if err := b.Send([]byte("last"), nil); err != nil {
		t.Fatal(err)
	}
	b.Close()
	if got, _ := readN(t, a, 4); string(got) != "last" {
		t.Errorf("Read = %q, want last", got)
	}
	for range 2 {
		if _, _, err := a.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("Read = %v, want io.EOF", err)
		}
	}
}
