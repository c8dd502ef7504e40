package qmpserver

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/bridge/trusted"
	"qmp-dbus-bridge/qmp/socket"
)

// backlog is how many connections may wait to be accepted.
const backlog = 64

// Listener is a socket in the file system at which clients connect. Accept is called from one goroutine at a time, Close from
// anywhere.
type Listener struct {
	path string // without symbolic links
	fd   int
	stat unix.Stat_t // of the path, once it was made

	closing sync.Once
	mu      sync.Mutex // guards closed, and Add of users before it
	closed  bool
	users   sync.WaitGroup // who is using fd
}

// Listen makes a socket at path, with exactly this mode, of group gid or, where that is -1, our own. Nobody but root and we
// may be able to replace it there: see trusted.Directory. A socket that is left over from one that has ended is removed;
// anything else that is at the path is an error.
func Listen(path string, mode fs.FileMode, gid int) (*Listener, error) {
	dir, err := trusted.Directory(filepath.Dir(path), uint32(os.Geteuid()), trusted.NoGroup)
	if err != nil {
		return nil, err
	}
	l := &Listener{path: filepath.Join(dir, filepath.Base(path))}
	if len(l.path) > socket.MaxPath {
		return nil, fmt.Errorf("%s: a socket's path has %d bytes at most", l.path, socket.MaxPath)
	}
	if _, err := trusted.RemoveSocket(l.path); err != nil {
		return nil, fmt.Errorf("%w: choose another path", err)
	}
	if l.fd, err = unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	if err := l.open(mode, gid); err != nil {
		unix.Close(l.fd)
		return nil, fmt.Errorf("%s: %w", l.path, err)
	}
	return l, nil
}

// open makes the socket one that can be connected to when it is what it is to be.
func (l *Listener) open(mode fs.FileMode, gid int) error {
	if err := unix.Bind(l.fd, &unix.SockaddrUnix{Name: l.path}); err != nil {
		return os.NewSyscallError("bind", err)
	}
	err := errors.Join(os.Lchown(l.path, -1, gid), os.Chmod(l.path, mode), unix.Lstat(l.path, &l.stat))
	if err == nil {
		err = os.NewSyscallError("listen", unix.Listen(l.fd, backlog))
	}
	if err != nil {
		return errors.Join(err, os.Remove(l.path))
	}
	return nil
}

// FD is the descriptor at which connections are accepted, for who confines the process. It stays the Listener's.
func (l *Listener) FD() int { return l.fd }

// Dir is the directory that the socket is in.
func (l *Listener) Dir() string { return filepath.Dir(l.path) }

// Accept waits for a client. After Close it fails with net.ErrClosed. Other errors leave the Listener as it is: the process
// may have too many descriptors.
func (l *Listener) Accept(maxRequest int) (*Conn, error) {
	if !l.use() {
		return nil, net.ErrClosed
	}
	defer l.users.Done()
	for {
		fd, _, err := unix.Accept4(l.fd, unix.SOCK_CLOEXEC)
		switch {
		case err == unix.EINTR, err == unix.ECONNABORTED:
		case err == unix.EINVAL: // it was shut down
			return nil, net.ErrClosed
		case err != nil:
			return nil, os.NewSyscallError("accept4", err)
		default:
			sock, err := socket.New(fd)
			if err != nil {
				return nil, err
			}
			return NewConn(sock, maxRequest), nil
		}
	}
}

func (l *Listener) use() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.users.Add(1)
	return true
}

// Close wakes and waits for Accept, and removes the socket, unless another one is at its path.
func (l *Listener) Close() error {
	var err error
	l.closing.Do(func() {
		l.mu.Lock()
		l.closed = true
		l.mu.Unlock()
		unix.Shutdown(l.fd, unix.SHUT_RDWR)
		l.users.Wait()
		var now unix.Stat_t
		if unix.Lstat(l.path, &now) == nil && now.Ino == l.stat.Ino && now.Dev == l.stat.Dev {
			err = os.Remove(l.path)
		}
		err = errors.Join(err, os.NewSyscallError("close", unix.Close(l.fd)))
	})
	return err
}
