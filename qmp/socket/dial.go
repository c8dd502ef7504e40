package socket

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// MaxPath is the longest socket path that the kernel takes (unix(7): sun_path
// has 108 bytes with a NUL at the end).
const MaxPath = 107 // bytes

// dialRetry is the pause before another try while the listener's backlog is
// full; the kernel can wait for room only in blocking mode, deaf to contexts.
const dialRetry = 5 * time.Millisecond

// Dial connects to the stream socket at path; "@name" is a name in the abstract
// name space. It waits, until ctx ends, only for room in the listener's backlog.
// The error wraps the kernel's (errors.Is with fs.ErrNotExist, unix.ECONNREFUSED,
// and so on) or that of ctx.
func Dial(ctx context.Context, path string) (*Conn, error) {
	fd, err := dial(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("connect to %q: %w", path, err)
	}
	return New(fd)
}

func dial(ctx context.Context, path string) (int, error) {
	if path == "" {
		return -1, errors.New("empty path")
	}
	if len(path) > MaxPath {
		return -1, fmt.Errorf("path of %d bytes is longer than %d", len(path), MaxPath)
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	for {
		err = unix.Connect(fd, &unix.SockaddrUnix{Name: path})
		if err == nil {
			return fd, nil
		}
		if err == unix.EAGAIN || err == unix.EINTR {
			err = pause(ctx, dialRetry)
		}
		if err != nil {
			unix.Close(fd)
			return -1, err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
