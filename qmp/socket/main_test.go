package socket_test

import (
	"bytes"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/qmp/fdtest"
	"qmp-dbus-bridge/qmp/socket"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pair gives two connected Conns, closed at the end of the test, at which no file
// descriptor may be left.
func pair(t testing.TB) (*socket.Conn, *socket.Conn) {
	t.Helper()
	fdtest.Check(t)
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
