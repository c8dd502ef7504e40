package socket

import (
	"errors"
	"io"
	"net"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// MaxFDs is the most file descriptors that the kernel takes or gives in one
// message (SCM_MAX_FD in include/net/scm.h).
const MaxFDs = 253

// Read receives into p what has come, at least one byte, and waits for it
// if need be. The file descriptors came with one of these bytes, those of two
// messages never in one Read; the caller owns them, and they are close-on-exec.
//
// At the end of the stream it returns io.EOF, after Close net.ErrClosed, past
// the deadline os.ErrDeadlineExceeded, and when file descriptors got lost,
// because the process can't have more of them, an error that says so: the bytes are
// lost with them, so the connection is of no more use.
func (c *Conn) Read(p []byte) (n int, fds []int, err error) {
	if len(p) == 0 {
		return 0, nil, nil
	}
	if !c.use() {
		return 0, nil, net.ErrClosed
	}
	n, fds, err = c.read(p)
	c.users.Done()
	if n == 0 && c.isClosed() {
		return 0, nil, net.ErrClosed
	}
	return n, fds, err
}

func (c *Conn) read(p []byte) (int, []int, error) {
	if err := c.await(); err != nil {
		return 0, nil, err
	}
	n, err := c.in.receive(c.fd, p)
	if err != nil {
		return 0, nil, os.NewSyscallError("recvmsg", err)
	}
	fds, err := c.in.rights()
	if err != nil {
		closeAll(fds)
		return 0, nil, err
	}
	if n == 0 {
		closeAll(fds) // can't be any
		return 0, nil, io.EOF
	}
	return n, fds, nil
}

// SetReadDeadline makes every later Read fail with os.ErrDeadlineExceeded when
// nothing has come by t; the zero time takes the deadline away. A Read in
// progress is not affected.
func (c *Conn) SetReadDeadline(t time.Time) { c.deadline = t }

// await waits until there is something to read, in ppoll(2): Linux wakes who waits in
// recvmsg(2) also each time that the peer has read something, which takes the peer's core
// from it just when it would answer.
func (c *Conn) await() error {
	for {
		var wait *unix.Timespec // for ever
		if !c.deadline.IsZero() {
			left := time.Until(c.deadline)
			if left <= 0 {
				return os.ErrDeadlineExceeded
			}
			wait = new(unix.NsecToTimespec(left.Nanoseconds()))
		}
		n, err := unix.Ppoll([]unix.PollFd{{Fd: int32(c.fd), Events: unix.POLLIN}}, wait, nil)
		if err != nil && err != unix.EINTR {
			return os.NewSyscallError("ppoll", err)
		}
		if n > 0 {
			return nil
		}
	}
}

func (c *Conn) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// receiver holds what recvmsg(2) fills, so that a Read allocates nothing:
// unix.Recvmsg has the sender's address escape to the heap each time.
type receiver struct {
	message unix.Msghdr
	vector  unix.Iovec
	control []byte // made for the first call; room for MaxFDs
}

func (r *receiver) receive(fd int, p []byte) (int, error) {
	if r.control == nil {
		r.control = make([]byte, unix.CmsgSpace(4*MaxFDs))
	}
	r.vector.Base = &p[0]
	r.vector.SetLen(len(p))
	r.message = unix.Msghdr{Iov: &r.vector, Control: &r.control[0]}
	r.message.SetIovlen(1)
	r.message.SetControllen(len(r.control))
	for {
		n, _, errno := unix.Syscall(unix.SYS_RECVMSG, uintptr(fd),
			uintptr(unsafe.Pointer(&r.message)), unix.MSG_CMSG_CLOEXEC)
		if errno != unix.EINTR {
			r.vector.Base = nil
			return int(n), errnoError(errno)
		}
	}
}

// rights gives the file descriptors of the last message, also beside an error.
func (r *receiver) rights() ([]int, error) {
	var fds []int
	rest := r.control[:r.message.Controllen]
	for len(rest) >= unix.CmsgLen(0) {
		header, data, next, err := unix.ParseOneSocketControlMessage(rest)
		if err != nil {
			return fds, os.NewSyscallError("recvmsg", err)
		}
		if header.Level == unix.SOL_SOCKET && header.Type == unix.SCM_RIGHTS {
			some, err := unix.ParseUnixRights(&unix.SocketControlMessage{Header: header, Data: data})
			if err != nil {
				return fds, os.NewSyscallError("recvmsg", err)
			}
			fds = append(fds, some...)
		}
		rest = next
	}
	if r.message.Flags&unix.MSG_CTRUNC != 0 {
		return fds, errors.New("recvmsg: file descriptors were lost: more came than this process may open")
	}
	return fds, nil
}

// errnoError keeps a zero errno from becoming an error that is not nil.
func errnoError(errno unix.Errno) error {
	if errno == 0 {
		return nil
	}
	return errno
}

func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}
