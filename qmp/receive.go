package qmp

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/bits"
	"net"

	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/sys/unix"
)

// run is the reader's goroutine.
func (c *Conn) run() {
	for {
		if err := c.receive(); err != nil {
			c.finish(err)
			return
		}
	}
}

// receive reads one line and calls back who wants it.
func (c *Conn) receive() error {
	line, err := c.lines.next()
	if err != nil {
		return err
	}
	m, err := c.parser.parse(line)
	if err != nil {
		return fmt.Errorf("not QMP: %v", withoutNames(err)) // its EOF would pass for the connection's
	}
	switch {
	case m.event != nil:
		c.options.OnEvent(Event{Name: unquote(m.event), Data: m.data, Timestamp: m.time})
	case m.returned != nil || m.err != nil:
		c.deliver(&m)
	default:
		c.drop("unknown message", &m)
	}
	return nil
}

// deliver gives a reply to its command, and lets those go that waited for that.
func (c *Conn) deliver(m *message) {
	c.mu.Lock()
	k, ok := c.calls.release(parseID(m.id))
	var refused []refusal
	if c.calls.waiting > 0 {
		refused = c.advance()
	}
	c.mu.Unlock()
	switch {
	case !ok:
		c.drop("reply to no command", m)
	case m.err != nil:
		k.done(Reply{Err: m.err})
	default:
		k.done(Reply{Return: m.returned})
	}
	for _, r := range refused {
		r.done(Reply{Err: r.err})
	}
}

// withoutNames is err without the names that lead to where it is, which are QEMU's words.
func withoutNames(err error) error {
	var syntax *jsontext.SyntacticError
	if !errors.As(err, &syntax) {
		return err
	}
	return fmt.Errorf("%v at byte %d", syntax.Err, syntax.ByteOffset)
}

// parseID gives a reply's id, 0 if it has none, -1 if it can't be one of ours.
func parseID(id []byte) int {
	switch {
	case id == nil:
		return 0
	case len(id) == 1 && '1' <= id[0] && id[0] <= '9':
		return int(id[0] - '0')
	case len(id) == 2 && '1' <= id[0] && id[0] <= '9' && '0' <= id[1] && id[1] <= '9':
		return int(id[0]-'0')*10 + int(id[1]-'0')
	}
	return -1
}

// drop counts, and logs each time that the count has doubled, so that a flood
// doesn't become one of the log. What QEMU says stays out: it may quote arguments.
func (c *Conn) drop(what string, m *message) {
	c.dropped++
	if bits.OnesCount64(c.dropped) != 1 {
		return
	}
	attributes := []any{"what", what, "count", c.dropped}
	if id := parseID(m.id); id > 0 { // any other one is text of QEMU's choice
		attributes = append(attributes, "id", id)
	}
	if m.err != nil {
		attributes = append(attributes, "class", m.err.KnownClass())
	}
	c.options.Logger.Warn("QMP message dropped", slog.Group("qmp", attributes...))
}

// finish ends the connection and fails what has no answer.
func (c *Conn) finish(cause error) {
	c.socket.Close()
	err := ErrClosed
	if !errors.Is(cause, net.ErrClosed) {
		err = fmt.Errorf("%w: %w", ErrClosed, cause)
	}
	c.mu.Lock()
	c.err = err
	left := c.calls.abandon()
	c.mu.Unlock()
	for i := range left {
		k := &left[i]
		closeAll(k.FDs)
		if k.quit && k.sent && endedByPeer(cause) {
			k.done(Reply{Return: emptyObject})
		} else {
			k.done(Reply{Err: err})
		}
	}
	close(c.done)
}

// endedByPeer tells whether QEMU closed the connection; it may leave requests unread.
func endedByPeer(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, unix.ECONNRESET)
}
