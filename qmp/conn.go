package qmp

import (
	"log/slog"
	"sync"
	"time"

	"qmp-dbus-bridge/qmp/socket"
)

// Defaults and limits of a connection.
const (
	DefaultGreetingTimeout = 5 * time.Second
	DefaultMaxLine         = 64 << 20 // bytes
	MaxUnsent              = 16 << 20 // bytes of requests that QEMU has not read
)

// keepRequest is how large a request's buffer may be to be kept for the next.
const keepRequest = 64 << 10 // bytes

// Options are for Dial and Open; the zero value is good.
type Options struct {
	// OnEvent gets each event, on the reader's goroutine; before Dial or Open
	// returned that is theirs. It must not block, and must not call Execute or Close.
	OnEvent func(Event)

	// GreetingTimeout is how long QEMU may take to greet and again to agree on
	// capabilities; 0 means DefaultGreetingTimeout.
	GreetingTimeout time.Duration

	// MaxLine is the longest line accepted, its end not counted; 0 means
	// DefaultMaxLine.
	MaxLine int

	// Logger gets what was dropped; nil means nobody.
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.OnEvent == nil {
		o.OnEvent = func(Event) {}
	}
	if o.GreetingTimeout == 0 {
		o.GreetingTimeout = DefaultGreetingTimeout
	}
	if o.MaxLine == 0 {
		o.MaxLine = DefaultMaxLine
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Conn is a connection to a QMP monitor past its handshake. Make one with [Dial] or
// [Open]. Its methods may be called from anywhere.
type Conn struct {
	options  Options
	socket   *socket.Conn
	greeting greeting
	oob      bool // negotiated

	// The reader's own.
	lines   lines
	parser  parser
	dropped uint64 // messages

	// mu guards what follows and keeps requests in the order of Start, so
	// it is held while a request is written (which does not block), and never
	// while a callback runs.
	mu      sync.Mutex
	calls   calls
	request []byte // the buffer for building one
	err     error  // why the connection has ended

	done chan struct{}
}

func newConn(s *socket.Conn, options Options) *Conn {
	options = options.withDefaults()
	s.SetLimit(MaxUnsent)
	c := &Conn{
		options: options,
		socket:  s,
		lines:   lines{socket: s, max: options.MaxLine},
		done:    make(chan struct{}),
	}
	c.calls.inBand.limit = MaxInBand
	c.calls.oob.limit = MaxOutOfBand
	return c
}

// Version tells QEMU's version.
func (c *Conn) Version() Version { return c.greeting.version }

// OOB tells whether out-of-band execution was negotiated.
func (c *Conn) OOB() bool { return c.oob }

// PeerUID is the uid of whoever made the other end, as the kernel noted it then: of a monitor
// that QEMU listens at QEMU's own, unless somebody else made the socket and gave it to
// QEMU. 65534 is a user of another user namespace.
func (c *Conn) PeerUID() (uint32, error) {
	cred, err := c.socket.PeerCredentials()
	if err != nil {
		return 0, err
	}
	return cred.Uid, nil
}

// InFlight tells how many commands QEMU has been sent and has not answered.
func (c *Conn) InFlight() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls.inFlight
}

// Waiting tells how many commands wait in the Conn to be sent.
func (c *Conn) Waiting() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls.waiting
}

// Done is closed when the connection has ended and every command has its reply.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Err is nil while the connection lives; then it tells why it ended, wrapping
// ErrClosed, before any command fails because of that.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Close ends the connection and returns when every command has its reply and
// the reader has ended. It must not be called from a callback. Further calls only wait.
func (c *Conn) Close() error {
	err := c.socket.Close()
	<-c.done
	return err
}
