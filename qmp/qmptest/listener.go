package qmptest

import (
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/qmp/socket"
)

// Listener is a fake QEMU's socket at a path. Like QEMU's it serves one client
// at a time; the next is served, and greeted, when that has gone.
type Listener struct {
	Path string

	tb      testing.TB
	options Options
	handler Handler
	fd      int
	closing sync.Once
	done    chan struct{}

	mu      sync.Mutex // guards what follows
	current *QEMU
	closed  bool
}

// Listen makes one in a temporary directory, until the test's end or Close.
func Listen(tb testing.TB, options Options, handler Handler) *Listener {
	tb.Helper()
	return ListenAt(tb, filepath.Join(tb.TempDir(), "qmp"), options, handler)
}

// ListenAt makes one at path, where no file may be, to be closed by the test's end.
func ListenAt(tb testing.TB, path string, options Options, handler Handler) *Listener {
	tb.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		tb.Fatal(err)
	}
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		tb.Fatal(err)
	}
	if err := unix.Listen(fd, 1); err != nil { // QEMU's backlog
		tb.Fatal(err)
	}
	l := &Listener{Path: path, tb: tb, options: options, handler: handler, fd: fd, done: make(chan struct{})}
	tb.Cleanup(l.Close)
	go l.serve()
	return l
}

// Client gives the connection that is being served, nil if there is none.
func (l *Listener) Client() *QEMU {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.current
}

// Close ends all, as if QEMU had been killed, and removes the socket.
func (l *Listener) Close() {
	l.closing.Do(func() {
		l.mu.Lock()
		l.closed = true
		if l.current != nil {
			l.current.Hangup()
		}
		l.mu.Unlock()
		_ = unix.Shutdown(l.fd, unix.SHUT_RDWR) // wakes accept
		<-l.done
		unix.Close(l.fd)
		_ = unix.Unlink(l.Path) // it may have been removed by the test
	})
}

func (l *Listener) serve() {
	defer close(l.done)
	for {
		fd, _, err := unix.Accept4(l.fd, unix.SOCK_CLOEXEC)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return
		}
		s, err := socket.New(fd)
		if err != nil {
			continue // the client has gone already
		}
		q := newQEMU(l.tb, l.options, l.handler, s)
		if !l.take(q) {
			s.Close()
			return
		}
		q.serve()
	}
}

// take notes who is served; false if that is over.
func (l *Listener) take(q *QEMU) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.current = q
	return !l.closed
}
