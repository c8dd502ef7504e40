package socket

import (
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Conn is a connected Unix stream socket. Make one with [Dial], [New] or [Pair].
//
// One goroutine at a time may call Read and SetReadDeadline; all other methods
// may be called from anywhere, at any time.
type Conn struct {
	fd       int
	limit    int       // bytes; see SetLimit
	onDrain  func()    // see OnDrain
	deadline time.Time // of Read; the reader's own
	in       receiver  // the reader's own

	closing sync.Once

	// mu guards what follows and orders the messages, so it is held during a
	// sendmsg that does not block, never during one that does.
	mu     sync.Mutex
	out    queue
	writer bool      // the writer goroutine exists
	idle   sync.Cond // told when it has ended
	ended  error     // why nothing can be sent any more

	closed bool           // Close was called
	users  sync.WaitGroup // who is using fd; Add under mu and only before closed
}

// New makes a Conn of fd, which it owns from the call on, also if it fails (it
// is then closed). It checks that fd is a connected Unix stream socket, and sets
// it blocking and close-on-exec. Blocking mode belongs to the open socket, not
// to the file descriptor: whoever shares the socket is affected.
func New(fd int) (*Conn, error) {
	err := check(fd)
	if err == nil {
		err = unix.SetNonblock(fd, false)
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("file descriptor %d: %w", fd, err)
	}
	unix.CloseOnExec(fd)
	c := &Conn{fd: fd, limit: DefaultLimit}
	c.idle.L = &c.mu
	return c, nil
}

func check(fd int) error {
	domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil {
		return os.NewSyscallError("getsockopt", err)
	}
	kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil {
		return os.NewSyscallError("getsockopt", err)
	}
	if domain != unix.AF_UNIX || kind != unix.SOCK_STREAM {
		return fmt.Errorf("not a Unix stream socket (domain %d, type %d)", domain, kind)
	}
	_, err = unix.Getpeername(fd)
	return os.NewSyscallError("getpeername", err)
}

// Pair gives both ends of a new socket pair: ours, and a file to hand to a
// child process (it is close-on-exec and blocking; exec.Cmd.ExtraFiles takes it
// as it is). The caller owns both.
func Pair() (*Conn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	c, err := New(fds[0])
	if err != nil {
		unix.Close(fds[1])
		return nil, nil, err
	}
	return c, os.NewFile(uintptr(fds[1]), "socketpair"), nil
}

// Close shuts the connection down, so that a Read in progress returns, discards
// what is queued and closes its file descriptors, waits for the writer goroutine
// and for Read to be out, and closes the socket. Further calls do nothing but
// wait for the first. It must not be called from the OnDrain callback.
func (c *Conn) Close() error {
	var err error
	c.closing.Do(func() {
		c.mu.Lock()
		c.closed = true
		c.end(net.ErrClosed)
		c.mu.Unlock()
		c.users.Wait()
		err = os.NewSyscallError("close", unix.Close(c.fd))
	})
	return err
}

// Abort ends the connection for a reason of the caller's, as a write that failed
// does, without waiting for anybody: what is queued is discarded, Read gives what had
// come and then io.EOF, and Send fails with cause. Close is still needed.
func (c *Conn) Abort(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end(fmt.Errorf("%w: %w", net.ErrClosed, cause))
}

// StopReading has Read give what has come by now and then io.EOF; what the peer sends from now on fails there. What is
// queued still goes out.
func (c *Conn) StopReading() {
	if c.use() {
		defer c.users.Done()
		unix.Shutdown(c.fd, unix.SHUT_RD) // fails only if the peer was faster
	}
}

// use keeps the socket open until users.Done, or says that it is closed.
func (c *Conn) use() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.users.Add(1)
	return true
}

// end makes every further Send fail and wakes whoever is in a system call on
// the socket. What the peer has already sent can still be read. The lock is held.
func (c *Conn) end(cause error) {
	if c.ended == nil {
		c.ended = cause
		unix.Shutdown(c.fd, unix.SHUT_RDWR) // fails only if the peer was faster
	}
	c.out.discard()
}
