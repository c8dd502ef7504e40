package endpoint

import (
	"errors"
	"fmt"
	"net"

	"qmp-dbus-bridge/qmp/socket"
	"qmp-dbus-bridge/schema/wire"
)

// ErrFull is what Signal returns when the bus does not take what is written.
var ErrFull = errors.New("the bus does not take what is written")

var errNotSent = errors.New("the bus connection has ended")

// Signal sends a signal to destination, or to all who match where that is empty.
// It fails with ErrFull, and sends nothing, while the bus does not take what is written;
// with net.ErrClosed, wrapped, once the bus has gone; and with another error where
// fill or the limits of D-Bus refuse it.
func (c *Conn) Signal(destination, path, iface, member, signature string, fill func(*wire.Encoder) error) error {
	if c.backlogged() {
		return ErrFull
	}
	return c.send(&wire.Header{
		Type: wire.Signal, Flags: wire.NoReplyExpected, Destination: destination,
		Path: path, Interface: iface, Member: member, Signature: signature,
	}, nil, fill)
}

// backlogged tells that the bus does not take what is written.
func (c *Conn) backlogged() bool { return c.sock.Queued() > maxBacklog }

// send encodes a message and writes it whole, giving it a serial. It owns the descriptors.
func (c *Conn) send(h *wire.Header, fds []int, fill func(*wire.Encoder) error) error {
	e, ok := c.encoders.Get().(*wire.Encoder)
	if !ok {
		e = new(wire.Encoder)
	}
	defer c.recycle(e)
	h.Serial, h.UnixFDs = c.nextSerial(), uint32(len(fds))
	msg, err := encode(e, h, fill)
	if err != nil {
		closeAll(c.log, fds)
		return err
	}
	return c.write(msg, fds)
}

func encode(e *wire.Encoder, h *wire.Header, fill func(*wire.Encoder) error) ([]byte, error) {
	e.Begin(h)
	if err := fill(e); err != nil {
		return nil, err
	}
	msg, err := e.Finish()
	if err == nil && len(msg) > MaxSent {
		err = fmt.Errorf("%w: a message of %d bytes, over %d", wire.ErrLimit, len(msg), MaxSent)
	}
	return msg, err
}

func (c *Conn) recycle(e *wire.Encoder) {
	if cap(e.Bytes()) <= keepEncoder {
		c.encoders.Put(e)
	}
}

func (c *Conn) write(msg []byte, fds []int) error {
	err := c.sock.Send(msg, fds)
	if errors.Is(err, socket.ErrFull) {
		c.log.Error("leaving the bus: it does not take what is written", "queued", c.sock.Queued())
		c.sock.Abort(err)
	}
	if errors.Is(err, net.ErrClosed) || errors.Is(err, socket.ErrFull) {
		return fmt.Errorf("%w: %w", errNotSent, err)
	}
	return err // nil, or about the descriptors
}

func (c *Conn) nextSerial() uint32 {
	for {
		if s := c.serial.Add(1); s != 0 {
			return s
		}
	}
}
