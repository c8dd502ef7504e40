package endpoint_test

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/bridge/endpoint"
	"qmp-dbus-bridge/qmp/fdtest"
	"qmp-dbus-bridge/qmp/socket"
	"qmp-dbus-bridge/schema/wire"
)

const (
	driver  = "org.freedesktop.DBus"
	self    = ":1.7" // the name that the bus gives us
	caller  = ":1.8"
	another = ":1.9"

	limitsExceeded = "org.freedesktop.DBus.Error.LimitsExceeded"
)

// bus is the other end of a Conn's socket: a bus made by hand.
type bus struct {
	testing.TB
	sock   *socket.Conn
	file   *os.File // the same socket
	buf    []byte
	serial uint32
	enc    wire.Encoder
	fds    []int // that came with what has been read
}

// newBus makes a bus that has said nothing yet, and our end of its socket.
func newBus(t testing.TB) (*bus, *socket.Conn) {
	t.Helper()
	fdtest.Check(t)
	ours, theirs, err := socket.Pair()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { theirs.Close() })
	sock, err := socket.New(duplicate(t, int(theirs.Fd())))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sock.Close() })
	return &bus{TB: t, sock: sock, file: theirs}, ours
}

// newConn makes a Conn that has joined a bus.
func newConn(t testing.TB) (*endpoint.Conn, *bus) {
	t.Helper()
	return open(t, quiet)
}

// open is newConn with a configuration.
func open(t testing.TB, config endpoint.Config) (*endpoint.Conn, *bus) {
	t.Helper()
	b, ours := newBus(t)
	// What a bus answers does not depend on when it is asked.
	b.write("OK 0123456789abcdef0123456789abcdef\r\nAGREE_UNIX_FD\r\n")
	b.replyTo(1, "s", func(e *wire.Encoder) { e.String(self) })
	c, err := endpoint.Open(t.Context(), ours, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	b.readAuth()
	if hello := b.next(); hello.Member != "Hello" {
		t.Fatalf("first message %+v, want Hello", hello.Header)
	}
	return c, b
}

var (
	discard = slog.New(slog.DiscardHandler)
	quiet   = endpoint.Config{Log: discard}
)

// handler is a Handler made of a function.
type handler func(*endpoint.Call) endpoint.Verdict

func (h handler) Handle(c *endpoint.Call) endpoint.Verdict { return h(c) }

// echo answers a call with its first string, or an empty one.
var echo = handler(func(c *endpoint.Call) endpoint.Verdict {
	d := c.Decoder()
	text := d.String()
	err := c.Reply("s", func(e *wire.Encoder) error {
		e.String(text)
		return nil
	})
	if err != nil {
		c.Fail("org.example.Error", err.Error())
	}
	return endpoint.Accepted
})

// serve runs c.Serve until the test ends, or until it ends, which the channel tells.
func serve(t testing.TB, c *endpoint.Conn, h endpoint.Handler) <-chan error {
	t.Helper()
	ended := make(chan error, 1)
	var serving sync.WaitGroup
	serving.Go(func() { ended <- c.Serve(h) })
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		serving.Wait()
	})
	return ended
}

// served makes a Conn that serves h.
func served(t testing.TB, h endpoint.Handler) (*endpoint.Conn, *bus) {
	t.Helper()
	c, b := newConn(t)
	serve(t, c, h)
	return c, b
}

// write writes bytes as they are.
func (b *bus) write(bytes string, fds ...int) {
	b.Helper()
	if err := b.sock.Send([]byte(bytes), fds); err != nil {
		b.Error(err)
	}
}

// hangUp ends what the bus says, once all is out; it still listens.
func (b *bus) hangUp() {
	b.Helper()
	eventually(b, "all that the bus says is out", func() bool { return b.sock.Queued() == 0 })
	if err := unix.Shutdown(int(b.file.Fd()), unix.SHUT_WR); err != nil && err != unix.ENOTCONN {
		b.Error(err)
	}
}

// send sends a message to us.
func (b *bus) send(h wire.Header, fill func(*wire.Encoder), fds ...int) uint32 {
	b.Helper()
	message, serial := b.encode(h, fill, len(fds))
	b.write(message, fds...)
	return serial
}

func (b *bus) encode(h wire.Header, fill func(*wire.Encoder), fds int) (string, uint32) {
	b.Helper()
	b.serial++
	h.Serial, h.UnixFDs = b.serial, uint32(fds)
	if h.Destination == "" {
		h.Destination = self
	}
	b.enc.Begin(&h)
	if fill != nil {
		fill(&b.enc)
	}
	message, err := b.enc.Finish()
	if err != nil {
		b.Fatal(err)
	}
	return string(message), h.Serial
}

// replyTo sends the bus's own reply to our call with the serial.
func (b *bus) replyTo(serial uint32, signature string, fill func(*wire.Encoder)) {
	b.Helper()
	b.send(wire.Header{
		Type: wire.MethodReturn, Sender: driver, ReplySerial: serial, Signature: signature,
	}, fill)
}

// call is the header of a method call by a sender.
func call(sender, member string) wire.Header {
	return wire.Header{
		Type: wire.MethodCall, Sender: sender, Path: "/org/example", Interface: "org.example",
		Member: member,
	}
}

// textCall is the header of a method call with a string.
func textCall(sender, member string) wire.Header {
	h := call(sender, member)
	h.Signature = "s"
	return h
}

// text writes a string.
func text(s string) func(*wire.Encoder) {
	return func(e *wire.Encoder) { e.String(s) }
}

// readAuth reads our side of the authentication.
func (b *bus) readAuth() {
	b.Helper()
	const end = "BEGIN\r\n"
	for !strings.Contains(string(b.buf), end) {
		b.read()
	}
	b.buf = b.buf[strings.Index(string(b.buf), end)+len(end):]
}

// next gives the next message from us.
func (b *bus) next() wire.Message {
	b.Helper()
	for {
		if m, ok := b.cut(); ok {
			return m
		}
		b.read()
	}
}

// cut takes the next message, if it is there, off what has been read.
func (b *bus) cut() (wire.Message, bool) {
	b.Helper()
	if len(b.buf) < wire.FixedHeaderSize {
		return wire.Message{}, false
	}
	size, err := wire.MessageSize(b.buf)
	if err != nil {
		b.Fatal(err)
	}
	if len(b.buf) < size {
		return wire.Message{}, false
	}
	m, err := wire.ParseMessage(append([]byte(nil), b.buf[:size]...))
	if err == nil {
		d := m.Decoder()
		err = d.End()
	}
	if err != nil {
		b.Fatalf("%v in %q", err, b.buf[:size])
	}
	b.buf = b.buf[size:]
	if int(m.UnixFDs) != len(b.fds) {
		b.Fatalf("%+v came with file descriptors %v", m.Header, b.fds)
	}
	return m, true
}

// nextFDs is next for a message with descriptors, which are the caller's.
func (b *bus) nextFDs() (wire.Message, []int) {
	b.Helper()
	m := b.next()
	fds := b.fds
	b.fds = nil
	return m, fds
}

func (b *bus) read() {
	b.Helper()
	if err := b.tryRead(patience); err != nil {
		b.Fatalf("the bus reads: %v", err)
	}
}

func (b *bus) tryRead(patience time.Duration) error {
	chunk := make([]byte, 256<<10)
	b.sock.SetReadDeadline(time.Now().Add(patience))
	n, fds, err := b.sock.Read(chunk)
	b.fds = append(b.fds, fds...)
	b.buf = append(b.buf, chunk[:n]...)
	return err
}

// wantReply fails unless our next message is a reply to the serial with this text.
func (b *bus) wantReply(serial uint32, want string) {
	b.Helper()
	m := b.next()
	d := m.Decoder()
	if m.Type != wire.MethodReturn || m.ReplySerial != serial || d.String() != want {
		b.Fatalf("got %+v %q, want a reply to %d with %q", m.Header, m.Body, serial, want)
	}
}

// wantError fails unless our next message is an error for the serial with this name.
func (b *bus) wantError(serial uint32, name string) wire.Message {
	b.Helper()
	m := b.next()
	if m.Type != wire.Error || m.ReplySerial != serial || m.ErrorName != name {
		b.Fatalf("got %+v %q, want error %s to %d", m.Header, m.Body, name, serial)
	}
	return m
}

// wantNothing fails if we have sent anything that the bus has not read, after
// an exchange that comes behind it.
func (b *bus) wantNothing() {
	b.Helper()
	if err := b.tryRead(20 * time.Millisecond); err == nil || len(b.buf) > 0 {
		b.Fatalf("got %q, %v, want nothing", b.buf, err)
	}
}

// short is a context that ends soon.
func short(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}
