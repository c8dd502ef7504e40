package socket

import (
	"errors"
	"fmt"
	"net"
	"unsafe"

	"golang.org/x/sys/unix"
)

// DefaultLimit is how much may wait in the queue unless SetLimit says otherwise:
// room for two of the largest D-Bus messages, 128 MiB.
const DefaultLimit = 256 << 20 // bytes

// MaxQueuedFDs is how many file descriptors may wait in the queue: enough
// for any one message.
const MaxQueuedFDs = 256

// ErrFull says that the peer does not read and that the message would exceed
// what may wait for it.
var ErrFull = errors.New("send queue is full")

// SetLimit says how many bytes may wait in the queue. Call it before the first Send.
func (c *Conn) SetLimit(bytes int) { c.limit = bytes }

// OnDrain has f called each time the queue became empty again, by
// the writer goroutine, so f must return soon and must not call Close; it may
// call Send. Call OnDrain before the first Send.
func (c *Conn) OnDrain(f func()) { c.onDrain = f }

// Flush waits until nothing is queued, or the connection has ended: then it tells why.
func (c *Conn) Flush() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.writer {
		c.idle.Wait()
	}
	return c.ended
}

// Queued tells how many bytes wait in the queue or are just being written from it.
func (c *Conn) Queued() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.bytes
}

// Send sends msg whole, after all that was sent before it, with fds attached to
// its first byte. It never waits: what can't be written at once is copied and
// queued, so msg is the caller's again on return. It owns fds from the call
// on and closes them, once sent or when they can't be.
//
// The errors are ErrFull and plain ones about what was passed, after which
// nothing of msg was sent and the connection is as it was; and, wrapped, net.ErrClosed
// after Close or after a write that failed. After such a failure nothing more can be
// sent, and Read gives what had come before and then io.EOF.
func (c *Conn) Send(msg []byte, fds []int) error {
	err := checkMessage(msg, fds)
	if err != nil {
		closeAll(fds)
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended != nil {
		closeAll(fds)
		return c.ended
	}
	if c.out.empty() {
		msg, fds, err = c.try(msg, fds)
	}
	if err == nil && len(msg) > 0 {
		err = c.enqueue(msg, fds)
	}
	return err
}

func checkMessage(msg []byte, fds []int) error {
	if len(fds) > MaxFDs {
		return fmt.Errorf("%d file descriptors in one message, %d is the most", len(fds), MaxFDs)
	}
	if len(msg) == 0 && len(fds) > 0 {
		return errors.New("file descriptors without a byte to carry them")
	}
	return nil
}

// try writes what fits now and returns what is left. The lock is held.
func (c *Conn) try(msg []byte, fds []int) ([]byte, []int, error) {
	if len(msg) == 0 {
		return nil, nil, nil
	}
	if len(msg) > c.limit {
		// Else its beginning would be out before its end is refused.
		closeAll(fds)
		return nil, nil, fmt.Errorf("%w: message of %d bytes, limit %d", ErrFull, len(msg), c.limit)
	}
	n, err := transmitNow(c.fd, msg, fds)
	if err == unix.EAGAIN {
		return msg, fds, nil
	}
	closeAll(fds)
	switch err {
	case nil:
		return msg[n:], nil, nil
	case unix.EBADF, unix.ETOOMANYREFS:
		return nil, nil, fmt.Errorf("pass file descriptors: %w", err) // nothing was sent
	}
	c.fail(err)
	return nil, nil, c.ended
}

// enqueue has the writer goroutine send the rest of a message. The lock is held.
func (c *Conn) enqueue(msg []byte, fds []int) error {
	if c.out.bytes+len(msg) > c.limit || c.out.fds+len(fds) > MaxQueuedFDs {
		closeAll(fds)
		return fmt.Errorf("%w: %d bytes and %d file descriptors wait", ErrFull, c.out.bytes, c.out.fds)
	}
	c.out.add(msg, fds)
	if !c.writer {
		c.writer = true
		c.users.Add(1) // c.ended is nil, so Close was not called
		go c.drain()
	}
	return nil
}

// fail ends the connection because of a write that failed. The lock is held.
func (c *Conn) fail(err error) {
	c.end(fmt.Errorf("%w: sendmsg: %w", net.ErrClosed, err))
}

// transmitNow is transmit that does not wait. Without fds the runtime need not even know
// of the system call, which saves its bookkeeping: a tenth of a forwarded call's CPU time.
func transmitNow(fd int, p []byte, fds []int) (int, error) {
	if len(fds) > 0 {
		return transmit(fd, p, fds, unix.MSG_DONTWAIT)
	}
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)),
			unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
		if errno != unix.EINTR {
			return int(n), errnoError(errno)
		}
	}
}

// transmit is one sendmsg(2) that a signal doesn't interrupt.
func transmit(fd int, p []byte, fds []int, flags int) (int, error) {
	var control []byte
	if len(fds) > 0 {
		control = unix.UnixRights(fds...)
	}
	for {
		n, err := unix.SendmsgN(fd, p, control, nil, flags|unix.MSG_NOSIGNAL)
		if err != unix.EINTR {
			return n, err
		}
	}
}
