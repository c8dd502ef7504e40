package endpoint

import (
	"errors"
	"fmt"

	"qmp-dbus-bridge/schema/wire"
)

// Call is one method call. It is answered exactly once, by Reply or Fail, from any
// goroutine.
type Call struct {
	wire.Message // Body is valid until Handle has accepted the call; then it is nil

	conn     *Conn
	fds      []int
	size     int // what it counts in the queue, in bytes
	held     int // likewise, descriptors
	answered bool
}

// FDs are the call's descriptors, which stay its own: to look at before it is accepted.
func (c *Call) FDs() []int { return c.fds }

// TakeFDs hands the call's descriptors over to the caller. What nobody takes is
// closed when the call has been handled.
func (c *Call) TakeFDs() []int {
	fds := c.fds
	c.fds = nil
	return fds
}

// Reply answers with a body of the given signature that fill writes. Where fill or
// the limits of D-Bus refuse it, nothing is sent and the call is still unanswered: the
// error says why, and is for Fail. A caller that wants no reply gets none. That the
// bus has gone is no error here: Serve tells.
func (c *Call) Reply(signature string, fill func(*wire.Encoder) error) error {
	return c.ReplyFDs(signature, nil, fill)
}

// ReplyFDs is Reply with descriptors, which it owns and closes in every case. A caller whose connection can't be passed any
// does not get them, and nobody can know that before: dbus-daemon drops the reply, so that there is none, and
// dbus-broker disconnects the caller.
func (c *Call) ReplyFDs(signature string, fds []int, fill func(*wire.Encoder) error) error {
	return c.answer(wire.Header{Type: wire.MethodReturn, Signature: signature}, fds, fill)
}

// Fail answers with an error of this name and text. What D-Bus can't carry of these is
// replaced.
func (c *Call) Fail(name, text string) {
	err := c.fail(name, text)
	if err == nil {
		return
	}
	c.conn.log.Error("error reply replaced", "name", name, "error", err)
	if err = c.fail("org.freedesktop.DBus.Error.Failed", plain(text)); err != nil {
		c.conn.log.Error("error reply", "error", err) // answered before
	}
}

func (c *Call) fail(name, text string) error {
	return c.answer(wire.Header{Type: wire.Error, ErrorName: name, Signature: "s"}, nil, func(e *wire.Encoder) error {
		e.String(text)
		return nil
	})
}

func (c *Call) answer(h wire.Header, fds []int, fill func(*wire.Encoder) error) error {
	if c.answered {
		closeAll(c.conn.log, fds)
		return errAnswered
	}
	if c.Flags&wire.NoReplyExpected != 0 {
		closeAll(c.conn.log, fds)
		c.answered = true
		return nil
	}
	h.Flags = wire.NoReplyExpected
	h.ReplySerial, h.Destination = c.Serial, c.Sender
	err := c.conn.send(&h, fds, fill)
	if err != nil && !errors.Is(err, errNotSent) {
		return err
	}
	c.answered = true
	return nil
}

// plain makes any text one that D-Bus carries: the beginning of it, quoted.
func plain(text string) string { return fmt.Sprintf("%+.1000q", text) }

var errAnswered = errors.New("endpoint: call answered twice")
