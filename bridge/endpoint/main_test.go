package endpoint_test

import (
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/qmp/fdtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what has to happen.
const patience = time.Minute

// pipes makes n pipes: their write ends, to be sent away, and their read ends.
func pipes(t testing.TB, n int) (writers []int, readers []*os.File) {
	t.Helper()
	for range n {
		w, r := fdtest.Pipe(t)
		writers, readers = append(writers, w), append(readers, r)
	}
	return writers, readers
}

// duplicate makes another descriptor of the same file.
func duplicate(t testing.TB, fd int) int {
	t.Helper()
	fd, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

// wantClosed fails unless all copies of the write ends of readers get closed.
func wantClosed(t testing.TB, readers []*os.File) {
	t.Helper()
	for _, r := range readers {
		if state := poll(r, patience); state != unix.POLLHUP {
			t.Fatalf("poll: %#x, want the other end closed", state)
		}
	}
}

// wantOpen fails if the write end of one of readers has been closed.
func wantOpen(t testing.TB, readers []*os.File) {
	t.Helper()
	for _, r := range readers {
		if state := poll(r, 0); state != 0 {
			t.Fatalf("poll: %#x, want the other end open", state)
		}
	}
}

func poll(r *os.File, timeout time.Duration) int16 {
	p := []unix.PollFd{{Fd: int32(r.Fd())}}
	for {
		if _, err := unix.Poll(p, int(timeout.Milliseconds())); err != unix.EINTR {
			return p[0].Revents
		}
	}
}

// eventually waits until what holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// receive gives the next value of ch.
func receive[T any](t testing.TB, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

func closeFDs(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}
