package endpoint

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"qmp-dbus-bridge/schema/wire"
)

// ErrNameLost is what Serve returns when the bus took a name away.
var ErrNameLost = errors.New("the name was lost")

// Handler is what calls are given to.
type Handler interface {
	// Handle takes a call whose sender's turn has come. It must not block. With
	// Accepted the call is the handler's, which answers it once, now or later; the body
	// and the descriptors that it did not take are not its own after it returned. With
	// Later nothing has happened; Handle gets the same call again after Wake(c.Sender).
	Handle(c *Call) Verdict
}

// Serve reads until the bus goes (io.EOF and other errors of the stream), takes a name
// away (ErrNameLost) or Close is called (net.ErrClosed), and gives calls to h. When it
// returns, calls that waited have been dropped and h is not called any more.
func (c *Conn) Serve(h Handler) error {
	c.reading.Lock()
	defer c.reading.Unlock()
	c.queue.handle = func(call *Call) Verdict { return c.handle(h, call) }
	var turns sync.WaitGroup
	turns.Go(c.queue.run)
	defer turns.Wait()
	defer c.queue.clear()
	defer c.asks.end()
	for {
		f, err := c.in.next()
		if err != nil {
			return err
		}
		switch {
		case f.Type == wire.MethodCall:
			c.accept(&f)
		case f.Type == wire.Signal && f.Sender == driverName && f.Member == "NameLost":
			closeAll(c.log, f.fds)
			d := f.Decoder()
			return fmt.Errorf("%s: %w", d.String(), ErrNameLost)
		default: // answers, replies to nothing, signals that we did not ask for
			closeAll(c.log, f.fds)
			if f.Type == wire.MethodReturn || f.Type == wire.Error {
				c.answered(&f)
			}
		}
	}
}

// accept queues a call that arrived, or answers it where it exceeds a limit.
func (c *Conn) accept(f *frame) {
	call := c.callOf(f)
	exceeded := f.refused
	if exceeded == "" {
		exceeded = c.exceeds(f)
	}
	if exceeded == "" {
		exceeded = c.queue.push(call, f.owned)
	}
	if exceeded != "" {
		c.refuse(call, exceeded)
	}
}

func (c *Conn) callOf(f *frame) *Call {
	return &Call{Message: f.Message, conn: c, fds: f.fds, size: f.size + CallCost, held: len(f.fds)}
}

// exceeds tells which limit a message exceeds by itself, if any.
func (c *Conn) exceeds(f *frame) string {
	switch {
	case f.size > c.limits.Message:
		return fmt.Sprintf("the message is larger than %d bytes", c.limits.Message)
	case len(f.fds) > c.limits.CallFDs:
		return fmt.Sprintf("the message has %d file descriptors, over %d", len(f.fds), c.limits.CallFDs)
	}
	return ""
}

// refuses tells why a message of which there is only the header would be refused, if it would.
func (c *Conn) refuses(f *frame) (exceeded string) {
	switch exceeded = c.exceeds(f); {
	case exceeded != "":
	case f.Type == wire.MethodCall:
		exceeded = c.queue.wouldRefuse(c.callOf(f))
	case f.Type == wire.MethodReturn || f.Type == wire.Error:
		exceeded = fmt.Sprintf("the answer is larger than %d bytes", idleBuffer)
	}
	return exceeded
}

// refuse answers a call that nobody will handle. While the bus does not take what we
// write, it waits, and nothing is read: else these answers would pile up as fast as calls
// come. It looks now and then because a connection's end drops what is queued, and tells
// nobody.
func (c *Conn) refuse(call *Call, exceeded string) {
	c.drop(call)
	for c.backlogged() {
		time.Sleep(refusalPause)
	}
	c.answerRefused(call, exceeded)
}

func (c *Conn) answerRefused(call *Call, exceeded string) {
	c.drop(call)
	call.Fail(errLimitsName, exceeded)
}

const (
	errLimitsName = "org.freedesktop.DBus.Error.LimitsExceeded"
	refusalPause  = 5 * time.Millisecond
)

func (c *Conn) handle(h Handler, call *Call) Verdict {
	verdict := h.Handle(call)
	if verdict == Accepted {
		c.drop(call)
		call.Body = nil
	}
	return verdict
}

// drop closes the descriptors of a call that nobody took.
func (c *Conn) drop(call *Call) { closeAll(c.log, call.TakeFDs()) }

func (c *Conn) drained() {
	if c.onDrain != nil {
		c.onDrain()
	}
	c.queue.resume()
}

// Wake lets a sender's first call, which Handle told Later, try again. It may handle
// calls on the calling goroutine.
func (c *Conn) Wake(sender string) { c.queue.wake(sender) }

// Forget drops the waiting calls of a sender that has left the bus.
func (c *Conn) Forget(sender string) { c.queue.forget(sender) }
