package endpoint_test

import (
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/bridge/endpoint"
	"qmp-dbus-bridge/schema/wire"
)

// stuff has a Conn write more than a bus takes that does not read. It returns what
// counts the calls that were handled, and the number of calls, which is past what a sender
// may queue.
func stuff(t *testing.T, c *endpoint.Conn, b *bus) (ended <-chan error, handled *atomic.Int64, calls int) {
	t.Helper()
	large := strings.Repeat("x", 256<<10)
	handled = new(atomic.Int64)
	ended = serve(t, c, handler(func(call *endpoint.Call) endpoint.Verdict {
		handled.Add(1)
		if err := call.Reply("s", func(e *wire.Encoder) error { e.String(large); return nil }); err != nil {
			t.Error(err)
		}
		return endpoint.Accepted
	}))
	calls = 3 * endpoint.MaxQueuedCalls
	for range calls {
		b.send(call(caller, "Call"), nil)
	}
	eventually(t, "the bus is full", func() bool { return errors.Is(signal(c), endpoint.ErrFull) })
	for before := int64(-1); before != handled.Load(); time.Sleep(20 * time.Millisecond) {
		before = handled.Load()
	}
	// Nor are calls read any more, once they could only be refused: how many were before that depends on who was faster.
	eventually(t, "what comes is not read", func() bool {
		unread, err := unix.IoctlGetInt(int(b.file.Fd()), unix.SIOCOUTQ)
		if err != nil {
			t.Fatal(err)
		}
		if unread == 0 {
			b.send(call(caller, "Call"), nil)
			calls++
		}
		return unread > 0
	})
	return ended, handled, calls
}

func signal(c *endpoint.Conn) error {
	return c.Signal("", "/org/example", "org.example", "Signal", "u", func(e *wire.Encoder) error {
		e.Uint32(1)
		return nil
	})
}

// While the bus does not read, calls are not started, signals refused and nothing is
// lost; when it reads, all goes on.
func TestSlowBus(t *testing.T) {
	var c *endpoint.Conn
	var drained atomic.Int64
	c, b := open(t, endpoint.Config{Log: discard, OnDrain: func() {
		if drained.Add(1) == 1 {
			if err := signal(c); err != nil {
				t.Errorf("Signal when drained: %v", err)
			}
		}
	}})
	_, handled, calls := stuff(t, c, b)
	if n := handled.Load(); n > 4<<20/(256<<10)+3 { // and what fits into the socket
		t.Errorf("%d calls were started", n)
	}
	answered := map[uint32]bool{}
	signals := 0
	for len(answered) < calls {
		m := b.next()
		switch {
		case m.Type == wire.Signal:
			signals++
		case answered[m.ReplySerial]:
			t.Fatalf("two answers to %d", m.ReplySerial)
		case m.Type == wire.Error && m.ErrorName != limitsExceeded:
			t.Fatalf("got error %s", m.ErrorName)
		default:
			answered[m.ReplySerial] = true
		}
	}
	eventually(t, "signals are taken again", func() bool { return signal(c) == nil })
	if drained.Load() == 0 || signals == 0 {
		t.Errorf("OnDrain was called %d times, %d signals came", drained.Load(), signals)
	}
}

func TestSlowBusEnds(t *testing.T) {
	tests := []struct {
		name string
		end  func(*endpoint.Conn, *bus)
		want error // nil for any
	}{
		{"Close", func(c *endpoint.Conn, _ *bus) { c.Close() }, net.ErrClosed},
		{"the bus goes", func(_ *endpoint.Conn, b *bus) { b.sock.Close() }, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, b := newConn(t)
			ended, _, _ := stuff(t, c, b)
			tt.end(c, b)
			if err := receive(t, ended); err == nil || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("Serve = %v, want %v", err, tt.want)
			}
		})
	}
}

// A message of the largest size is sent, one byte more is not, and the call can still be
// answered.
func TestMaxSent(t *testing.T) {
	c, b := newConn(t)
	calls := make(chan *endpoint.Call, 1)
	serve(t, c, handler(func(call *endpoint.Call) endpoint.Verdict {
		calls <- call
		return endpoint.Accepted
	}))
	reply := func(call *endpoint.Call, size int) error {
		return call.Reply("s", func(e *wire.Encoder) error {
			e.String(strings.Repeat("x", size-e.Len()-len("\x00\x00\x00\x00")-len("\x00")))
			return nil
		})
	}
	b.send(call(caller, "Call"), nil)
	first := receive(t, calls)
	if err := reply(first, endpoint.MaxSent+1); !errors.Is(err, wire.ErrLimit) {
		t.Errorf("one byte too many: %v, want %v", err, wire.ErrLimit)
	}
	if err := reply(first, endpoint.MaxSent); err != nil {
		t.Errorf("the largest: %v", err)
	}
}

// A bus that takes nothing at all any more is left, before memory runs out.
func TestStuckBus(t *testing.T) {
	c, b := newConn(t)
	most := strings.Repeat("x", endpoint.MaxSent-128)
	calls := make(chan *endpoint.Call, 65) // 260 MiB, where 256 may wait
	ended := serve(t, c, handler(func(call *endpoint.Call) endpoint.Verdict {
		calls <- call
		return endpoint.Accepted
	}))
	for range cap(calls) {
		b.send(call(caller, "Call"), nil)
	}
	// Once a reply has to wait, no call is started.
	eventually(t, "all calls are handled", func() bool { return len(calls) == cap(calls) })
	for range cap(calls) {
		err := receive(t, calls).Reply("s", func(e *wire.Encoder) error { e.String(most); return nil })
		if err != nil {
			t.Errorf("Reply = %v, want nil", err)
		}
	}
	if err := receive(t, ended); !errors.Is(err, io.EOF) {
		t.Errorf("Serve = %v, want %v", err, io.EOF)
	}
}
