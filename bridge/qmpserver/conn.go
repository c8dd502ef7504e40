package qmpserver

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/qmp"
	"qmp-dbus-bridge/qmp/socket"
)

// Limits of a connection, in bytes.
const (
	MaxReply   = 4 << 20              // of one reply: what a D-Bus message may have, and 20 times QEMU's schema
	maxEvents  = 1 << 20              // of events beside it; one usually has 200
	MaxWaiting = MaxReply + maxEvents // that the client has not taken
	readSize   = 4 << 10              // read at a time
)

// MaxFDs is how many descriptors may come with one request; with more it is refused.
const MaxFDs = 16

// ErrTooLarge is the cause where a result exceeds MaxReply. Nothing was sent.
var ErrTooLarge = errors.New("the result is too large")

// ErrFull is the cause where the client has not taken MaxWaiting bytes of what it was sent. Nothing more was sent.
var ErrFull = socket.ErrFull

// capabilities is the command that begins a session.
const capabilities = "qmp_capabilities"

// Conn is a client's connection. The descriptors of a Request are its receiver's. One goroutine calls Greet and Next; all other methods may be called from anywhere, and
// none of those but Close and Flush waits.
type Conn struct {
	sock  *socket.Conn
	ready atomic.Bool // capabilities have been agreed on
	// The reader's own.
	scanner scanner
	buf     []byte // that was read
	rest    []byte // of it, not scanned yet
	tooMany bool   // more descriptors came than may with a request, and were closed

	mu     sync.Mutex // guards what follows; held for a few steps
	fds    []int      // that came with rest, or with the beginning of the request
	closed bool
}

// NewConn makes one of a connected socket, which it owns, for requests of at most so many bytes.
func NewConn(sock *socket.Conn, maxRequest int) *Conn {
	sock.SetLimit(MaxWaiting)
	return &Conn{sock: sock, scanner: scanner{most: maxRequest}, buf: make([]byte, readSize)}
}

// Pair makes one with the descriptor of the client's end, close-on-exec, which is the caller's.
func Pair(maxRequest int) (c *Conn, client int, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, -1, os.NewSyscallError("socketpair", err)
	}
	sock, err := socket.New(fds[0])
	if err != nil {
		unix.Close(fds[1])
		return nil, -1, err
	}
	return NewConn(sock, maxRequest), fds[1], nil
}

// Greet says what QEMU says first. It offers no capabilities.
func (c *Conn) Greet(v qmp.Version) error { return c.sock.Send(appendGreeting(nil, v), nil) }

// Next waits until the client has taken what it was answered, and for its next command, past the negotiation. What is no
// command it answers itself. At the end of the stream, after End and Abort too, it is io.EOF; other errors end the
// connection as well.
func (c *Conn) Next() (Request, error) {
	for {
		if err := c.Flush(); err != nil {
			return Request{}, err
		}
		request, refusal, err := c.read()
		if err != nil {
			return Request{}, err
		}
		switch {
		case refusal != nil:
		case c.ready.Load() && request.Name != capabilities:
			return request, nil
		case request.Name == capabilities && len(request.FDs) > 0:
			refusal = generic("%s takes no file descriptors", capabilities)
		default:
			err = c.negotiate(request)
		}
		closeAll(request.FDs)
		if refusal != nil {
			err = c.Refuse(request.ID, refusal)
		}
		if err != nil {
			return Request{}, err
		}
	}
}

// read gives the next request with its descriptors, or what is wrong with it.
func (c *Conn) read() (request Request, refusal *qmp.Error, err error) {
	for {
		n, value, fault, ok := c.scanner.scan(c.rest)
		c.rest = c.rest[n:]
		switch {
		case !ok:
		case fault != "":
			refusal = generic("%s", fault)
		default:
			request, refusal = parseRequest(value)
		}
		if ok {
			fds, tooMany := c.takeFDs()
			if request.FDs = fds; tooMany && refusal == nil {
				refusal = generic("more than %d file descriptors came with the request", MaxFDs)
			}
			return request, refusal, nil
		}
		n, fds, err := c.sock.Read(c.buf)
		if err != nil {
			return Request{}, nil, err
		}
		c.addFDs(fds)
		c.rest = c.buf[:n]
	}
}

// addFDs takes in those that came with what was read, as many as a request may have.
func (c *Conn) addFDs(fds []int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	room := min(len(fds), MaxFDs-len(c.fds))
	if c.closed {
		room = 0
	}
	c.fds = append(c.fds, fds[:room]...)
	c.tooMany = c.tooMany || room < len(fds)
	closeAll(fds[room:])
}

// takeFDs hands over those of the request that has just been scanned: they are of the last one that begins in what was read with them, since
// what is read together ends with what they were sent with. QEMU would leave them for whichever command takes any.
func (c *Conn) takeFDs() (fds []int, tooMany bool) {
	if len(bytes.TrimLeft(c.rest, spaces)) > 0 {
		return nil, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	fds, tooMany = c.fds, c.tooMany
	c.fds, c.tooMany = nil, false
	return fds, tooMany
}

func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}

// negotiate answers a command that comes before capabilities have been agreed on, and qmp_capabilities.
func (c *Conn) negotiate(r Request) error {
	switch {
	case c.ready.Load():
		return c.Refuse(r.ID, &qmp.Error{Class: classNotFound, Desc: "Capabilities negotiation is already complete, command ignored"})
	case r.Name != capabilities:
		return c.Refuse(r.ID, &qmp.Error{Class: classNotFound, Desc: "Expecting capabilities negotiation with 'qmp_capabilities'"})
	}
	if refusal := checkCapabilities(r.Arguments); refusal != nil {
		return c.Refuse(r.ID, refusal)
	}
	err := c.Return(r.ID, jsontext.Value("{}"))
	c.ready.Store(true)
	return err
}

// Return answers a command with its result, which is valid JSON on one line.
func (c *Conn) Return(id, result jsontext.Value) error {
	text := appendReturn(nil, id, result)
	if len(text) > MaxReply {
		return fmt.Errorf("%w: %d bytes with its id; %d is the most", ErrTooLarge, len(text), MaxReply)
	}
	return c.sock.Send(text, nil)
}

// Refuse answers a command with an error; without an id if that is nil. An error of its own is the connection's end.
func (c *Conn) Refuse(id jsontext.Value, e *qmp.Error) error {
	return c.sock.Send(appendError(nil, id, e), nil)
}

// Ready tells whether capabilities have been agreed on: before that, QEMU sends no events.
func (c *Conn) Ready() bool { return c.ready.Load() }

// Event sends an event. With ErrFull it is lost.
func (c *Conn) Event(e qmp.Event) error { return c.sock.Send(appendEvent(nil, e), nil) }

// Flush waits until the client has taken all that it was sent, or the connection has ended: then it tells why.
func (c *Conn) Flush() error { return c.sock.Flush() }

// End has Next end after what the client has sent by now. What waits for the client still goes out, until Close.
func (c *Conn) End() { c.sock.StopReading() }

// Abort ends the connection at once; what waits for the client is lost. Close is still needed.
func (c *Conn) Abort(cause error) { c.sock.Abort(cause) }

// Close ends the connection and waits for Next and Flush to be out.
func (c *Conn) Close() error {
	err := c.sock.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	closeAll(c.fds)
	c.fds, c.closed = nil, true
	return err
}

// Peer is who made the other end of the connection, as the kernel noted it then.
type Peer struct {
	UID   uint32
	GIDs  []uint32 // the primary one too, maybe twice
	PID   uint32
	Label string // without the trailing NUL; empty if there is none
}

// Peer tells who is at the other end, of a connection that came in by a Listener.
func (c *Conn) Peer() (Peer, error) {
	cred, err := c.sock.PeerCredentials()
	if err != nil {
		return Peer{}, err
	}
	gids, err := c.sock.PeerGroups()
	if err != nil {
		return Peer{}, err
	}
	label, err := c.sock.PeerLabel()
	return Peer{UID: cred.Uid, GIDs: append(gids, cred.Gid), PID: uint32(cred.Pid), Label: label}, err
}
