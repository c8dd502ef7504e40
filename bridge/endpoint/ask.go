package endpoint

import (
	"errors"
	"fmt"
	"sync"

	"qmp-dbus-bridge/schema/wire"
)

// Question is a call of ours. Nobody answers for whom it goes to: it may be a client that can't be trusted.
type Question struct {
	Destination, Path, Interface, Member string

	Signature string
	Fill      func(*wire.Encoder) error
}

// ErrorReply is the name of the error that a question was answered with. What it says besides is left out: it may be
// anything.
type ErrorReply string

func (e ErrorReply) Error() string { return string(e) }

// errAsksFull is what Ask returns while maxAsks questions wait for their answers, but not of one to the bus.
var errAsksFull = fmt.Errorf("%d questions wait for an answer", maxAsks)

// asks are the questions that wait for their answers.
type asks struct {
	mu      sync.Mutex // guards what follows; held while a question is written, so that its answer finds it
	ended   bool
	waiting map[uint32]ask // by serial
}

// ask is one of them.
type ask struct {
	destination string
	done        func(*wire.Message, error)
}

// Ask sends a question to the bus itself (org.freedesktop.DBus) or to a client by its unique name: only an answer that the bus says
// is of that one counts, or the bus's own error in its place. done is called once, on the goroutine that reads, with the
// answer, which is valid until it returns, or with an ErrorReply, or with another error when the connection has ended or the answer is
// over 256 KiB. It must not block. It waits for as long as nobody answers: the bus tells when who was asked
// has left. An error of Ask says that nothing was sent, and then done is not called. Answers are read by Serve.
func (c *Conn) Ask(q Question, done func(*wire.Message, error)) error {
	if c.backlogged() {
		return ErrFull
	}
	c.asks.mu.Lock()
	defer c.asks.mu.Unlock()
	switch {
	case c.asks.ended:
		return errNotSent
	case q.Destination != driverName && len(c.asks.waiting) >= maxAsks:
		return errAsksFull
	}
	h := &wire.Header{
		Type: wire.MethodCall, Flags: wire.NoAutoStart, Destination: q.Destination,
		Path: q.Path, Interface: q.Interface, Member: q.Member, Signature: q.Signature,
	}
	if err := c.send(h, nil, q.Fill); err != nil {
		return err
	}
	if c.asks.waiting == nil {
		c.asks.waiting = map[uint32]ask{}
	}
	c.asks.waiting[h.Serial] = ask{q.Destination, done}
	return nil
}

// answered gives an answer to who waits for it, if it is one.
func (c *Conn) answered(f *frame) {
	a, found := c.asks.take(f)
	switch {
	case !found: // of a method that we did not call, or of somebody else
	case f.refused != "":
		a.done(nil, errors.New(f.refused))
	case f.Type == wire.Error:
		a.done(nil, ErrorReply(f.ErrorName))
	default:
		a.done(&f.Message, nil)
	}
}

// take finds the question that a message answers, which waits no more then.
func (as *asks) take(f *frame) (ask, bool) {
	as.mu.Lock()
	defer as.mu.Unlock()
	a, found := as.waiting[f.ReplySerial]
	if !found || f.Sender != a.destination && (f.Sender != driverName || f.Type != wire.Error) {
		return ask{}, false
	}
	delete(as.waiting, f.ReplySerial)
	return a, true
}

// end has all that wait know that no answer will come.
func (as *asks) end() {
	as.mu.Lock()
	waiting := as.waiting
	as.ended, as.waiting = true, nil
	as.mu.Unlock()
	for _, a := range waiting {
		a.done(nil, errNotSent)
	}
}
