package endpoint_test

import (
	"errors"
	"net"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/bridge/endpoint"
	"qmp-dbus-bridge/qmp/socket"
	"qmp-dbus-bridge/schema/wire"
)

var errTest = errors.New("refused by the test")

func TestReply(t *testing.T) {
	_, b := served(t, echo)
	serial := b.send(textCall(caller, "Echo"), text("grüezi"))
	m := b.next()
	d := m.Decoder()
	want := wire.Header{
		Type: wire.MethodReturn, Flags: wire.NoReplyExpected, Serial: m.Serial, ReplySerial: serial,
		Destination: caller, Signature: "s",
	}
	if m.Header != want || d.String() != "grüezi" {
		t.Errorf("reply %+v %q, want %+v", m.Header, m.Body, want)
	}
}

// What a handler can't answer is not sent, and does not keep it from Fail.
func TestReplyRefused(t *testing.T) {
	tests := []struct {
		name, signature string
		fill            func(*wire.Encoder) error
		is              error
	}{
		{"by fill", "s", func(*wire.Encoder) error { return errTest }, errTest},
		{"half written", "as", func(e *wire.Encoder) error { e.OpenArray("s"); e.String("x"); return nil }, nil},
		{"wrong type", "s", func(e *wire.Encoder) error { e.Uint32(1); return nil }, nil},
		{"not UTF-8", "s", func(e *wire.Encoder) error { e.String("\xff"); return nil }, nil},
		{"bad signature", "z", func(*wire.Encoder) error { return nil }, nil},
		{"too large", "s", func(e *wire.Encoder) error { e.String(strings.Repeat("x", endpoint.MaxSent)); return nil }, wire.ErrLimit},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, b := served(t, handler(func(c *endpoint.Call) endpoint.Verdict {
				err := c.Reply(tt.signature, tt.fill)
				if err == nil || tt.is != nil && !errors.Is(err, tt.is) {
					t.Errorf("Reply = %v, want %v", err, tt.is)
				}
				c.Fail("org.example.Error", "why")
				return endpoint.Accepted
			}))
			serial := b.send(call(caller, "Call"), nil)
			m := b.wantError(serial, "org.example.Error")
			if d := m.Decoder(); d.String() != "why" {
				t.Errorf("text of the error %q, want why", m.Body)
			}
			b.wantNothing()
		})
	}
}

// Whatever the name and the text are, the caller gets an error.
func TestFailReplaced(t *testing.T) {
	const failed = "org.freedesktop.DBus.Error.Failed"
	tests := []struct{ name, text, wantName, want string }{
		{"org.example.Error", "why", "org.example.Error", "why"},
		{"org.example.Error", "", "org.example.Error", ""},
		{"org.example.Error", "a\x00b\xff", failed, `"a\x00b\xff"`},
		{"no name", "why", failed, `"why"`},
		{"", "why", failed, `"why"`},
		{"org.example.Error", strings.Repeat("x", endpoint.MaxSent), failed, `"` + strings.Repeat("x", 1000) + `"`},
	}
	_, b := served(t, handler(func(c *endpoint.Call) endpoint.Verdict {
		d := c.Decoder()
		tt := tests[d.Uint32()]
		c.Fail(tt.name, tt.text)
		return endpoint.Accepted
	}))
	for i, tt := range tests {
		h := call(caller, "Fail")
		h.Signature = "u"
		serial := b.send(h, func(e *wire.Encoder) { e.Uint32(uint32(i)) })
		m := b.wantError(serial, tt.wantName)
		if d := m.Decoder(); d.String() != tt.want {
			t.Errorf("%d: text of the error %q, want %q", i, m.Body, tt.want)
		}
	}
}

func TestAnsweredOnce(t *testing.T) {
	none := func(*wire.Encoder) error { return nil }
	_, b := served(t, handler(func(c *endpoint.Call) endpoint.Verdict {
		if err := c.Reply("", none); err != nil {
			t.Errorf("first Reply = %v", err)
		}
		if err := c.Reply("", none); err == nil {
			t.Error("second Reply succeeded")
		}
		c.Fail("org.example.Error", "second")
		return endpoint.Accepted
	}))
	serial := b.send(call(caller, "Call"), nil)
	if m := b.next(); m.Type != wire.MethodReturn || m.ReplySerial != serial {
		t.Errorf("got %+v, want a reply", m.Header)
	}
	b.wantNothing()
}

func TestNoReplyExpected(t *testing.T) {
	handled := make(chan error, 3)
	_, b := served(t, handler(func(c *endpoint.Call) endpoint.Verdict {
		if c.Member == "Fail" {
			c.Fail("org.example.Error", "why")
			handled <- nil
			return endpoint.Accepted
		}
		handled <- c.Reply("s", func(*wire.Encoder) error { t.Error("filled for nobody"); return nil })
		return endpoint.Accepted
	}))
	for _, member := range []string{"Reply", "Fail"} {
		h := call(caller, member)
		h.Flags = wire.NoReplyExpected
		b.send(h, nil)
		if err := receive(t, handled); err != nil {
			t.Error(err)
		}
	}
	oversized := textCall(caller, "Reply")
	oversized.Flags = wire.NoReplyExpected
	b.send(oversized, text(strings.Repeat("x", endpoint.MaxMessage)))
	b.wantNothing()
}

// Descriptors that a handler takes are its own, all others are closed.
func TestFDs(t *testing.T) {
	taken := make(chan []int, 1)
	_, b := served(t, handler(func(c *endpoint.Call) endpoint.Verdict {
		if c.Member == "Take" {
			taken <- c.TakeFDs()
			if again := c.TakeFDs(); again != nil {
				t.Errorf("TakeFDs again = %v", again)
			}
		}
		return echo(c)
	}))
	writers, readers := pipes(t, 2)
	serial := b.send(call(caller, "Take"), nil, writers...)
	b.wantReply(serial, "")
	fds := receive(t, taken)
	wantOpen(t, readers)
	for i, fd := range fds {
		if _, err := unix.Write(fd, []byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
		if got := readByte(t, readers[i]); got != byte(i) {
			t.Errorf("descriptor %d is another one's: %d", i, got)
		}
		unix.Close(fd)
	}
	if len(fds) != 2 {
		t.Fatalf("TakeFDs = %v, want 2", fds)
	}

	writers, readers = pipes(t, 3)
	b.send(call(caller, "Leave"), nil, writers[:1]...)
	b.send(wire.Header{
		Type: wire.Signal, Sender: caller, Path: "/org/example", Interface: "org.example", Member: "Stray",
	}, nil, writers[1])
	b.send(wire.Header{Type: wire.MethodReturn, Sender: caller, ReplySerial: 99}, nil, writers[2])
	wantClosed(t, readers)
}

// Descriptors of a reply are closed here in every case, and are the caller's if it gets the reply.
func TestReplyFDs(t *testing.T) {
	one := func(e *wire.Encoder) error { e.UnixFD(0); return nil }
	for name, reply := range map[string]func(c *endpoint.Call, fd int){
		"sent": func(c *endpoint.Call, fd int) {
			if err := c.ReplyFDs("h", []int{fd}, one); err != nil {
				t.Errorf("ReplyFDs = %v", err)
			}
		},
		"no reply expected": func(c *endpoint.Call, fd int) {
			c.Flags |= wire.NoReplyExpected
			if err := c.ReplyFDs("h", []int{fd}, one); err != nil {
				t.Errorf("ReplyFDs = %v", err)
			}
		},
		"refused by fill": func(c *endpoint.Call, fd int) {
			if err := c.ReplyFDs("h", []int{fd}, func(*wire.Encoder) error { return errTest }); !errors.Is(err, errTest) {
				t.Errorf("ReplyFDs = %v", err)
			}
			c.Fail("org.example.Error", "why")
		},
		"another's index": func(c *endpoint.Call, fd int) {
			if err := c.ReplyFDs("h", []int{fd}, func(e *wire.Encoder) error { e.UnixFD(1); return nil }); err == nil {
				t.Error("ReplyFDs with an index that is not there succeeded")
			}
			c.Fail("org.example.Error", "why")
		},
		"too many": func(c *endpoint.Call, fd int) {
			fds := []int{fd}
			for len(fds) <= socket.MaxFDs {
				more, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
				if err != nil {
					t.Fatal(err)
				}
				fds = append(fds, more)
			}
			if err := c.ReplyFDs("h", fds, one); err == nil {
				t.Error("ReplyFDs of too many succeeded")
			}
			c.Fail("org.example.Error", "why")
		},
		"answered twice": func(c *endpoint.Call, fd int) {
			c.Fail("org.example.Error", "why")
			if err := c.ReplyFDs("h", []int{fd}, one); err == nil {
				t.Error("second answer succeeded")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			given := make(chan int, 1)
			_, b := served(t, handler(func(c *endpoint.Call) endpoint.Verdict {
				reply(c, <-given)
				return endpoint.Accepted
			}))
			writers, readers := pipes(t, 1)
			given <- writers[0]
			serial := b.send(call(caller, "Call"), nil)
			switch name {
			case "sent":
				m, fds := b.nextFDs()
				d := m.Decoder()
				if m.Type != wire.MethodReturn || m.ReplySerial != serial || m.UnixFDs != 1 || d.UnixFD() != 0 || len(fds) != 1 {
					t.Fatalf("reply %+v with %d descriptors", m.Header, len(fds))
				}
				wantOpen(t, readers)
				closeFDs(fds)
			case "no reply expected":
			default:
				b.wantError(serial, "org.example.Error")
			}
			wantClosed(t, readers)
			b.wantNothing()
		})
	}
}

func readByte(t *testing.T, r *os.File) byte {
	t.Helper()
	var p [1]byte
	if _, err := r.Read(p[:]); err != nil {
		t.Fatal(err)
	}
	return p[0]
}

func TestAnswerAfterClose(t *testing.T) {
	calls := make(chan *endpoint.Call, 1)
	c, b := served(t, handler(func(c *endpoint.Call) endpoint.Verdict {
		calls <- c
		return endpoint.Accepted
	}))
	b.send(textCall(caller, "Call"), text("x"))
	held := receive(t, calls)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if held.Body != nil {
		t.Errorf("the body is still there: %q", held.Body)
	}
	if err := held.Reply("", func(*wire.Encoder) error { return nil }); err != nil {
		t.Errorf("Reply after Close = %v, want nil", err)
	}
	err := c.Signal("", "/org/example", "org.example", "Signal", "", func(*wire.Encoder) error { return nil })
	if !errors.Is(err, net.ErrClosed) {
		t.Errorf("Signal after Close = %v, want %v", err, net.ErrClosed)
	}
}
