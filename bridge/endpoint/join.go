package endpoint

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/qmp/socket"
	"qmp-dbus-bridge/schema/wire"
)

// ErrNameTaken is what RequestName returns when another connection owns the name.
var ErrNameTaken = errors.New("the name has an owner")

// handshakeTimeout bounds authentication, Hello and RequestName where the context
// has no deadline. A bus answers in under a millisecond; 25 s is what clients of D-Bus
// commonly grant a call, and a stuck bus shall not hold up the start for as long.
const handshakeTimeout = 5 * time.Second

const (
	driverName      = "org.freedesktop.DBus"
	driverPath      = "/org/freedesktop/DBus"
	nameFlagNoQueue = 4
	namePrimary     = 1
	nameExists      = 3
)

// RequestName makes us the owner of a well-known name, or fails with ErrNameTaken: we
// never queue for a name. It is called before Serve. After a failure because ctx ended,
// only Close is left.
func (c *Conn) RequestName(ctx context.Context, name string) error {
	err := c.within(ctx, func() error { return c.requestName(name) })
	if err != nil {
		return fmt.Errorf("request the name %s: %w", name, err)
	}
	return nil
}

func (c *Conn) requestName(name string) error {
	reply, err := c.call("RequestName", "su", func(e *wire.Encoder) error {
		e.String(name)
		e.Uint32(nameFlagNoQueue)
		return nil
	})
	if err != nil {
		return err
	}
	d := reply.Decoder()
	switch result := d.Uint32(); {
	case d.Err() != nil:
		return d.Err()
	case result == namePrimary:
		return nil
	case result == nameExists:
		return ErrNameTaken
	default:
		return fmt.Errorf("unexpected answer %d", result)
	}
}

// within runs f, which reads, and breaks the connection off when ctx ends before.
func (c *Conn) within(ctx context.Context, f func() error) error {
	c.reading.Lock()
	defer c.reading.Unlock()
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, handshakeTimeout)
		defer cancel()
	}
	stop := context.AfterFunc(ctx, func() { c.sock.Abort(context.Cause(ctx)) })
	err := f()
	if !stop() {
		return fmt.Errorf("the bus did not answer: %w", context.Cause(ctx))
	}
	return err
}

func (c *Conn) handshake() error {
	rest, fds, err := authenticate(handshakeStream{c.sock}, os.Geteuid())
	if err != nil {
		return err
	}
	if !fds {
		c.log.Warn("this bus passes no file descriptors")
	}
	c.in.buf = rest
	reply, err := c.call("Hello", "", func(*wire.Encoder) error { return nil })
	if err != nil {
		return err
	}
	d := reply.Decoder()
	_ = d.String() // our unique name
	return d.Err()
}

// call calls a method of the bus itself and waits for the reply, before Serve has
// begun. What else arrives meanwhile is not for us yet and is dropped.
func (c *Conn) call(member, signature string, fill func(*wire.Encoder) error) (wire.Message, error) {
	h := &wire.Header{
		Type: wire.MethodCall, Destination: driverName, Path: driverPath,
		Interface: driverName, Member: member, Signature: signature,
	}
	if err := c.send(h, nil, fill); err != nil {
		return wire.Message{}, err
	}
	for {
		f, err := c.in.next()
		if err != nil {
			return wire.Message{}, fmt.Errorf("%s: %w", member, unexpected(err))
		}
		closeAll(c.log, f.fds)
		if f.Sender != driverName || f.ReplySerial != h.Serial { // others may forge serials
			continue
		}
		switch f.Type {
		case wire.MethodReturn:
			return f.Message, nil
		case wire.Error:
			d := f.Decoder()
			return wire.Message{}, fmt.Errorf("%s: %s: %s", member, f.ErrorName, d.String())
		}
	}
}

// handshakeStream is the socket as authenticate wants it: no descriptors come then.
type handshakeStream struct{ sock *socket.Conn }

func (s handshakeStream) Write(p []byte) (int, error) { return len(p), s.sock.Send(p, nil) }

func (s handshakeStream) Read(p []byte) (int, error) {
	n, fds, err := s.sock.Read(p)
	for _, fd := range fds {
		err = errors.Join(errEarlyFD, err, unix.Close(fd))
	}
	if n == 0 && err == nil {
		err = io.EOF
	}
	return n, err
}

var errEarlyFD = errors.New("a file descriptor came before authentication had ended")
