package endpoint

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"qmp-dbus-bridge/qmp/socket"
)

// Conn is a connection to a bus. Its methods may be called from any goroutine,
// RequestName and Serve from one at a time.
type Conn struct {
	log   *slog.Logger
	sock  *socket.Conn
	queue *queue
	name  string // our unique name
	// onDrain is called when all that was written has left; see OnDrain.
	onDrain func()
	limits  Limits
	serial  atomic.Uint32
	// encoders are idle *wire.Encoder with what buffer they grew, if it is small.
	encoders sync.Pool

	// reading guards in. It is held as long as somebody reads, so that Close can wait
	// for that.
	reading sync.Mutex
	in      framer
}

// Dial connects to the bus at a D-Bus address, authenticates as our uid and says Hello.
func Dial(ctx context.Context, address string, log *slog.Logger) (*Conn, error) {
	path, err := SocketPath(address)
	if err != nil {
		return nil, err
	}
	sock, err := socket.Dial(ctx, path)
	if err != nil {
		return nil, err
	}
	return Open(ctx, sock, log)
}

// Open does what Dial does on a connected socket, which it owns from then on.
func Open(ctx context.Context, sock *socket.Conn, log *slog.Logger) (*Conn, error) {
	c := &Conn{log: log, sock: sock, in: framer{sock: sock, log: log, most: MaxMessage}, onDrain: func() {}}
	c.queue = newQueue(c)
	c.in.refuses = c.refuses
	c.SetLimits(Limits{})
	sock.OnDrain(c.drained)
	if err := c.within(ctx, c.handshake); err != nil {
		return nil, errors.Join(fmt.Errorf("join the bus: %w", err), c.Close())
	}
	return c, nil
}

// UniqueName is the name that the bus gave us, such as ":1.7".
func (c *Conn) UniqueName() string { return c.name }

// Close leaves the bus: it ends Serve, waits for it and for what is being handled, and
// releases all that is still held. It must not be called by a Handler or what OnDrain
// calls.
func (c *Conn) Close() error {
	err := c.sock.Close()
	c.reading.Lock()
	defer c.reading.Unlock()
	c.queue.clear()
	closeAll(c.log, c.in.fds)
	c.in.fds = nil
	return err
}
