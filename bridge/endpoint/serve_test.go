package endpoint_test

import (
	"errors"
	"io"
	"net"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"qmp-dbus-bridge/bridge/endpoint"
	"qmp-dbus-bridge/schema/wire"
)

func nameLost(sender string) wire.Header {
	return wire.Header{
		Type: wire.Signal, Sender: sender, Path: "/org/freedesktop/DBus", Interface: driver,
		Member: "NameLost", Signature: "s",
	}
}

func TestServeEnds(t *testing.T) {
	tests := []struct {
		name string
		end  func(*endpoint.Conn, *bus)
		want error // nil for any
	}{
		{"Close", func(c *endpoint.Conn, _ *bus) { c.Close() }, net.ErrClosed},
		{"the bus goes", func(_ *endpoint.Conn, b *bus) { b.sock.Close() }, io.EOF},
		{"the bus goes within a message", func(_ *endpoint.Conn, b *bus) {
			b.write("l\x01\x00\x01")
			b.sock.Close()
		}, io.ErrUnexpectedEOF},
		{"name lost", func(_ *endpoint.Conn, b *bus) { b.send(nameLost(driver), text("org.example")) }, endpoint.ErrNameLost},
		{"name lost, no text", func(_ *endpoint.Conn, b *bus) {
			h := nameLost(driver)
			h.Signature = ""
			b.send(h, nil)
		}, endpoint.ErrNameLost},
		{"unknown byte order", func(_ *endpoint.Conn, b *bus) { b.write("x\x01\x00\x01" + string(make([]byte, 12))) }, nil},
		{"larger than D-Bus allows", func(_ *endpoint.Conn, b *bus) {
			b.write("l\x01\x00\x01\x00\x00\x00\x08\x01\x00\x00\x00\x00\x00\x00\x00")
		}, wire.ErrLimit},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, b := newConn(t)
			var late atomic.Bool
			called := make(chan struct{})
			ended := serve(t, c, handler(func(*endpoint.Call) endpoint.Verdict {
				if late.Load() {
					t.Error("Handle after Serve")
				}
				called <- struct{}{}
				return endpoint.Later
			}))
			writers, readers := pipes(t, 1)
			b.send(call(caller, "Call"), nil, writers...)
			<-called
			wantOpen(t, readers)
			tt.end(c, b)
			if err := receive(t, ended); err == nil || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("Serve = %v, want %v", err, tt.want)
			}
			late.Store(true)
			wantClosed(t, readers)
			c.Wake(caller)
		})
	}
}

func TestServeForgedSignal(t *testing.T) {
	_, b := served(t, echo)
	b.send(nameLost(caller), text("org.example"))
	h := nameLost(driver)
	h.Member = "NameAcquired"
	b.send(h, text("org.example"))
	h = nameLost(driver)
	h.Type, h.ReplySerial = wire.MethodReturn, 3
	b.send(h, text("org.example"))
	b.wantReply(b.send(call(caller, "Call"), nil), "")
}

// Close while a handler runs on another goroutine, that of Wake, waits for it.
func TestCloseWhileHandled(t *testing.T) {
	c, b := newConn(t)
	entered, leave := make(chan struct{}, 2), make(chan struct{})
	var first, inside atomic.Bool
	first.Store(true)
	ended := serve(t, c, handler(func(*endpoint.Call) endpoint.Verdict {
		entered <- struct{}{}
		if !first.Swap(false) {
			inside.Store(true)
			<-leave
			inside.Store(false)
		}
		return endpoint.Later
	}))
	writers, readers := pipes(t, 1)
	b.send(call(caller, "Call"), nil, writers...)
	receive(t, entered)
	go c.Wake(caller)
	receive(t, entered)
	closed := make(chan error)
	go func() { closed <- c.Close() }()
	select {
	case <-closed:
		t.Fatal("Close did not wait for the handler")
	case <-ended:
		t.Fatal("Serve did not wait for the handler")
	default:
	}
	close(leave)
	if err := receive(t, closed); err != nil {
		t.Error(err)
	}
	if inside.Load() {
		t.Error("Close returned before the handler")
	}
	receive(t, ended)
	wantClosed(t, readers)
}

// Close at any moment of a storm of calls with descriptors leaves none open.
func TestCloseBusy(t *testing.T) {
	writers, readers := pipes(t, 1)
	for i := range 50 {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			c, b := newConn(t)
			var seen atomic.Int64
			ended := serve(t, c, handler(func(call *endpoint.Call) endpoint.Verdict {
				if seen.Add(1); call.Sender == caller {
					return endpoint.Later
				}
				return echo(call)
			}))
			withFD, _ := b.encode(call(caller, "Call"), nil, 1)
			without, _ := b.encode(call(another, "Call"), nil, 0)
			var storm sync.WaitGroup
			storm.Go(func() {
				for b.sock.Send([]byte(withFD), []int{duplicate(t, writers[0])}) == nil {
					_ = b.sock.Send([]byte(strings.Repeat(without, 9)), nil) // the loop ends if it fails
				}
			})
			for seen.Load() < int64(i) {
				runtime.Gosched()
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			receive(t, ended)
			storm.Wait()
		})
	}
	closeFDs(writers)
	wantClosed(t, readers)
}

func TestCloseTwice(t *testing.T) {
	c, _ := newConn(t)
	for range 2 {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := c.Serve(echo); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve after Close = %v, want %v", err, net.ErrClosed)
	}
	if err := c.RequestName(t.Context(), "org.example"); !errors.Is(err, net.ErrClosed) {
		t.Errorf("RequestName after Close = %v, want %v", err, net.ErrClosed)
	}
}
