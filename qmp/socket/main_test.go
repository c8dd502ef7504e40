package socket_test

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/qmp/socket"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pair gives two connected Conns, closed at the end of the test, at which no file
// descriptor may be left.
func pair(t testing.TB) (*socket.Conn, *socket.Conn) {
	t.Helper()
	checkFDs(t)
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var conns [2]*socket.Conn
	for i, fd := range fds {
		if conns[i], err = socket.New(fd); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conns[i].Close() })
	}
	return conns[0], conns[1]
}

// checkFDs fails the test if it ends with other file descriptors than it began with.
func checkFDs(t testing.TB) {
	t.Helper()
	before := openFDs(t)
	t.Cleanup(func() {
		if after := openFDs(t); after != before {
			t.Errorf("open file descriptors:\n%s\nwant\n%s", after, before)
		}
	})
}

func openFDs(t testing.TB) string {
	t.Helper()
	names, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	var open []string
	for _, name := range names {
		if target, err := os.Readlink(name); err == nil && !strings.HasPrefix(target, "anon_inode:") {
			open = append(open, filepath.Base(name)+" "+target)
		}
	}
	return strings.Join(open, "\n")
}

// pipe gives the write end of a new pipe, for Send to own, and the read end.
func pipe(t testing.TB) (w int, r *os.File) {
	t.Helper()
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	r = os.NewFile(uintptr(fds[0]), "pipe")
	t.Cleanup(func() { r.Close() })
	return fds[1], r
}

// wantClosed fails unless all copies of the write end of r have been closed.
func wantClosed(t testing.TB, r *os.File) {
	t.Helper()
	end := make(chan error, 1)
	go func() {
		_, err := r.Read(make([]byte, 1))
		end <- err
	}()
	select {
	case err := <-end:
		if err != io.EOF {
			t.Errorf("pipe: %v, want EOF", err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("the file descriptor was not closed")
	}
}

// readN reads exactly n bytes.
func readN(t testing.TB, c *socket.Conn, n int) ([]byte, []int) {
	t.Helper()
	var got bytes.Buffer
	var fds []int
	buf := make([]byte, 64<<10)
	for got.Len() < n {
		k, some, err := c.Read(buf[:min(len(buf), n-got.Len())])
		if err != nil {
			t.Fatalf("Read after %d bytes: %v", got.Len(), err)
		}
		got.Write(buf[:k])
		fds = append(fds, some...)
	}
	return got.Bytes(), fds
}

// fill sends until something is queued, and tells how many bytes that took.
func fill(t testing.TB, c *socket.Conn) int {
	t.Helper()
	chunk := make([]byte, 4096)
	for sent := 0; ; {
		if err := c.Send(chunk, nil); err != nil {
			t.Fatal(err)
		}
		if sent += len(chunk); c.Queued() > 0 {
			return sent
		}
	}
}
