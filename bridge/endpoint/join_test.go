package endpoint_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"

	"qmp-dbus-bridge/bridge/endpoint"
	"qmp-dbus-bridge/schema/wire"
)

const authOK = "OK 0123456789abcdef0123456789abcdef\r\n"

// hello is the bus's reply to Hello.
func hello(b *bus) string {
	reply, _ := b.encode(wire.Header{
		Type: wire.MethodReturn, Sender: driver, ReplySerial: 1, Signature: "s",
	}, text(self), 0)
	return reply
}

func TestOpen(t *testing.T) {
	longest := "OK " + strings.Repeat("0", 16<<10-len("OK ")) + "\r\n"
	tests := []struct {
		name, auth string
		want       string // in the error; empty for none
	}{
		{"fds", authOK + "AGREE_UNIX_FD\r\n", ""},
		{"no fds", authOK + "ERROR\r\n", ""},
		{"no fds, with a reason", authOK + "ERROR \"no\"\r\n", ""},
		{"longest line", longest + "AGREE_UNIX_FD\r\n", ""},
		{"line too long", "0" + longest + "AGREE_UNIX_FD\r\n", "over 16384 bytes"},
		{"line without end", strings.Repeat("0", 20<<10), "over 16384 bytes"},
		{"rejected", "REJECTED EXTERNAL\r\n", "refused"},
		{"rejected, then error", "REJECTED\r\nERROR\r\n", "refused"},
		{"error", "ERROR\r\n", "refused"},
		{"data", "DATA\r\n", "refused"},
		{"empty line", "\r\n", "refused"},
		{"control characters", "OK\x00\r\n", `"OK\x00"`},
		{"bad answer to fds", authOK + "OK\r\n", "NEGOTIATE_UNIX_FD"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b, ours := newBus(t)
			b.write(tt.auth)
			if tt.want == "" {
				b.write(hello(b))
			}
			c, err := endpoint.Open(t.Context(), ours, quiet) // does not wait for more
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Fatalf("Open = %v, want an error with %q", err, tt.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			c.Close()
		})
	}
}

// The whole handshake in one read, in reads of one byte, and cut off at every byte.
func TestOpenPieces(t *testing.T) {
	all := authOK + "AGREE_UNIX_FD\r\n" + hello(&bus{TB: t})
	for end := range len(all) {
		t.Run(strconv.Itoa(end), func(t *testing.T) {
			b, ours := newBus(t)
			b.write(all[:end])
			go func() {
				b.readAuth()
				b.sock.Close()
			}()
			c, err := endpoint.Open(t.Context(), ours, quiet)
			if err == nil {
				c.Close()
			}
			if err == nil || errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Open without the last %d bytes = %v, want an error at once", len(all)-end, err)
			}
		})
	}
	b, ours := newBus(t)
	go func() {
		for i := range all {
			b.write(all[i : i+1])
		}
	}()
	c, err := endpoint.Open(t.Context(), ours, quiet)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

func TestOpenSilentBus(t *testing.T) {
	for _, said := range []string{"", "OK", authOK, authOK + "AGREE_UNIX_FD\r\n", authOK + "AGREE_UNIX_FD\r\nl\x02\x00\x01"} {
		t.Run(said, func(t *testing.T) {
			b, ours := newBus(t)
			b.write(said)
			if _, err := endpoint.Open(short(t), ours, quiet); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Open = %v, want %v", err, context.DeadlineExceeded)
			}
		})
	}
}

func TestOpenCancelled(t *testing.T) {
	b, ours := newBus(t)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		b.readAuth()
		cancel()
	}()
	if _, err := endpoint.Open(ctx, ours, quiet); !errors.Is(err, context.Canceled) {
		t.Errorf("Open = %v, want %v", err, context.Canceled)
	}
}

func TestOpenEarlyFD(t *testing.T) {
	b, ours := newBus(t)
	writers, readers := pipes(t, 1)
	b.write(authOK+"AGREE_UNIX_FD\r\n", writers...)
	b.write(hello(b))
	_, err := endpoint.Open(t.Context(), ours, quiet)
	if err == nil || !strings.Contains(err.Error(), "file descriptor") {
		t.Errorf("Open = %v, want an error about the file descriptor", err)
	}
	wantClosed(t, readers)
}

// What others send while we wait for the bus is dropped, also if it looks like the reply.
func TestOpenForgedReply(t *testing.T) {
	b, ours := newBus(t)
	b.write(authOK + "AGREE_UNIX_FD\r\n")
	writers, readers := pipes(t, 1)
	go func() {
		b.readAuth()
		b.next()
		b.send(wire.Header{Type: wire.MethodReturn, Sender: caller, ReplySerial: 1}, nil) // without a name
		b.send(wire.Header{Type: wire.Error, Sender: caller, ReplySerial: 1, ErrorName: "org.example.No"}, nil)
		b.send(wire.Header{Type: wire.MethodReturn, Sender: driver, ReplySerial: 2}, nil)
		b.send(call(caller, "Early"), nil, writers...)
		b.write(hello(b))
	}()
	c, err := endpoint.Open(t.Context(), ours, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	wantClosed(t, readers)
}

func TestOpenHelloFails(t *testing.T) {
	tests := []struct {
		name string
		h    wire.Header
		fill func(*wire.Encoder)
		want string
	}{
		{"error", wire.Header{Type: wire.Error, ErrorName: "org.example.No", Signature: "s"}, text("why"), "Hello: org.example.No: why"},
		{"error without text", wire.Header{Type: wire.Error, ErrorName: "org.example.No"}, nil, "org.example.No"},
		{"no name", wire.Header{Type: wire.MethodReturn}, nil, "join the bus"},
		{"no string", wire.Header{Type: wire.MethodReturn, Signature: "u"}, func(e *wire.Encoder) { e.Uint32(1) }, "join the bus"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b, ours := newBus(t)
			b.write(authOK + "AGREE_UNIX_FD\r\n")
			tt.h.Sender, tt.h.ReplySerial = driver, 1
			b.send(tt.h, tt.fill)
			_, err := endpoint.Open(t.Context(), ours, quiet)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Open = %v, want an error with %q", err, tt.want)
			}
		})
	}
}

func TestRequestName(t *testing.T) {
	answer := func(n uint32) func(b *bus) {
		return func(b *bus) { b.replyTo(2, "u", func(e *wire.Encoder) { e.Uint32(n) }) }
	}
	tests := []struct {
		name   string
		answer func(b *bus)
		is     error
		want   string
	}{
		{"ours", answer(1), nil, ""},
		{"taken", answer(3), endpoint.ErrNameTaken, "org.example"},
		{"queued", answer(2), nil, "unexpected answer 2"},
		{"wrong type", func(b *bus) { b.replyTo(2, "s", text("1")) }, nil, "org.example"},
		{"refused", func(b *bus) {
			b.send(wire.Header{Type: wire.Error, Sender: driver, ReplySerial: 2, ErrorName: "org.example.No"}, nil)
		}, nil, "org.example.No"},
		{"the bus goes", func(b *bus) { b.sock.Close() }, nil, "org.example"},
		{"silence", func(*bus) {}, context.DeadlineExceeded, "org.example"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, b := newConn(t)
			tt.answer(b)
			err := c.RequestName(short(t), "org.example")
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("RequestName = %v, want an error with %q", err, tt.want)
			}
			if tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("RequestName = %v, want %v", err, tt.is)
			}
		})
	}
}
