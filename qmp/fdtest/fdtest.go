package fdtest

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long WantClosed waits.
const patience = time.Minute

// Check fails the test if it ends with other file descriptors than it has now; those of the runtime's poller don't count.
func Check(t testing.TB) {
	t.Helper()
	before := open(t)
	t.Cleanup(func() {
		if after := open(t); after != before {
			t.Errorf("open file descriptors:\n%s\nwant\n%s", after, before)
		}
	})
}

func open(t testing.TB) string {
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

// Pipe gives the write end of a new pipe, for the code under test to own, and the read end, which is closed when the test
// ends.
func Pipe(t testing.TB) (w int, r *os.File) {
	t.Helper()
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	r = os.NewFile(uintptr(fds[0]), "pipe")
	t.Cleanup(func() { r.Close() })
	return fds[1], r
}

// WantClosed fails the test unless all copies of the write end of r get closed. It reads from r.
func WantClosed(t testing.TB, r *os.File) {
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
	case <-time.After(patience):
		t.Fatal("the file descriptor was not closed")
	}
}
