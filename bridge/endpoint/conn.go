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
	log     *slog.Logger
	sock    *socket.Conn
	queue   *queue
	onDrain func() // Config.OnDrain; may be nil
	limits  Limits
	serial  atomic.Uint32
	// encoders are idle *wire.Encoder with what buffer they grew, if it is small.
	encoders sync.Pool
	asks     asks

	// reading guards in. It is held as long as somebody reads, so that Close can wait
	// for that.
	reading sync.Mutex
	in      framer
}

// Config is how a Conn serves. All but Log may be left zero.
type Config struct {
	Log    *slog.Logger
	Limits Limits // of what callers may make us hold
	// Account tells who answers for a sender, so that the senders of one account share
	// a turn, and half of what all senders may make us hold: however many connections somebody opens, others
	// are served. It also tells who is an administrator: all others together have three quarters, and seven
	// eighths with those who are not known. It is called with locks held, must not block or call us, and says Unknown for a
	// sender that it does not know yet, until Wake names that one. Without it each sender answers for
	// itself.
	Account func(sender string) (a Account, admin bool)
	// OnDrain is called, on a goroutine of ours, each time the bus has taken all that had to wait; it must not block.
	OnDrain func()
}

// Dial connects to the bus at a D-Bus address, authenticates as our uid and says Hello.
func Dial(ctx context.Context, address string, config Config) (*Conn, error) {
	path, err := SocketPath(address)
	if err != nil {
		return nil, err
	}
	sock, err := socket.Dial(ctx, path)
	if err != nil {
		return nil, err
	}
	return Open(ctx, sock, config)
}

// Open does what Dial does on a connected socket, which it owns from then on.
func Open(ctx context.Context, sock *socket.Conn, config Config) (*Conn, error) {
	c := &Conn{log: config.Log, sock: sock, onDrain: config.OnDrain, limits: config.Limits.withDefaults()}
	c.in = framer{sock: sock, log: c.log, most: c.limits.Message, refuses: c.refuses}
	c.queue = newQueue(c, config.Account)
	sock.OnDrain(c.drained)
	if err := c.within(ctx, c.handshake); err != nil {
		return nil, errors.Join(fmt.Errorf("join the bus: %w", err), c.Close())
	}
	return c, nil
}

// Close leaves the bus: it ends Serve, waits for it and for what is being handled, and
// releases all that is still held. It must not be called by a Handler or
// Config.OnDrain.
func (c *Conn) Close() error {
	err := c.sock.Close()
	c.reading.Lock()
	defer c.reading.Unlock()
	c.queue.clear()
	c.asks.end() // Serve may never have run
	closeAll(c.log, c.in.fds)
	c.in.fds = nil
	return err
}
