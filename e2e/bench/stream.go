package main

import (
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// answerTimeout is how long any answer may take before the run fails.
const answerTimeout = 10 * time.Second

// stream is a connected Unix stream socket in blocking mode: a read is one system call on
// the caller's thread, without the runtime's poller. It is for one goroutine at a time; one may
// write while another reads.
type stream struct {
	fd         int
	buf        []byte // buf[start:end] has been read and not yet taken
	start, end int
}

func dialStream(path string) (*stream, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	s := &stream{fd: fd, buf: make([]byte, 64<<10)}
	if err = s.setTimeout(answerTimeout); err == nil {
		err = unix.Connect(fd, &unix.SockaddrUnix{Name: path})
	}
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", path, joinClose(err, fd))
	}
	return s, nil
}

// setTimeout says how long a read may wait, 0 for ever. It costs a read nothing.
func (s *stream) setTimeout(d time.Duration) error {
	limit := unix.NsecToTimeval(d.Nanoseconds())
	return os.NewSyscallError("setsockopt", unix.SetsockoptTimeval(s.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit))
}

func joinClose(err error, fd int) error {
	if closing := unix.Close(fd); closing != nil {
		return fmt.Errorf("%w; close: %w", err, closing)
	}
	return err
}

func (s *stream) close() error { return unix.Close(s.fd) }

func (s *stream) write(p []byte) error {
	for len(p) > 0 {
		n, err := syscall.Write(s.fd, p)
		if err != nil && err != syscall.EINTR {
			return os.NewSyscallError("write", err)
		}
		p = p[max(n, 0):]
	}
	return nil
}

// more reads once, at least one byte.
func (s *stream) more() error {
	s.makeRoom()
	for {
		n, err := syscall.Read(s.fd, s.buf[s.end:])
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			return fmt.Errorf("no answer within %v", answerTimeout)
		case err != nil:
			return os.NewSyscallError("read", err)
		case n == 0:
			return io.ErrUnexpectedEOF
		}
		s.end += n
		return nil
	}
}

// makeRoom lets what is not taken begin the buffer, and doubles a full one.
func (s *stream) makeRoom() {
	switch {
	case s.start == s.end:
		s.start, s.end = 0, 0
	case s.end < len(s.buf):
	case s.start > 0:
		s.end = copy(s.buf, s.buf[s.start:s.end])
		s.start = 0
	default:
		s.buf = append(s.buf, make([]byte, len(s.buf))...)
	}
}

// take gives the next n bytes, which have been read; they are valid until the next read.
func (s *stream) take(n int) []byte {
	p := s.buf[s.start : s.start+n]
	s.start += n
	return p
}
