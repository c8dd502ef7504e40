package endpoint_test

import (
	"strings"
	"testing"
	"time"

	"qmp-dbus-bridge/bridge/endpoint"
	"qmp-dbus-bridge/qmp/socket"
	"qmp-dbus-bridge/schema/wire"
)

// replyText answers every call with a string, as a cached property would be.
func replyText(value string) endpoint.Handler {
	fill := func(e *wire.Encoder) error {
		e.String(value)
		return nil
	}
	return handler(func(c *endpoint.Call) endpoint.Verdict {
		if err := c.Reply("s", fill); err != nil {
			c.Fail("org.example.Error", err.Error())
		}
		return endpoint.Accepted
	})
}

// BenchmarkCall is one call and its reply at a time over a socket pair.
func BenchmarkCall(b *testing.B) {
	for _, bm := range []struct {
		name  string
		reply string
	}{{"64B", strings.Repeat("x", 64)}, {"64KiB", strings.Repeat("x", 64<<10)}} {
		b.Run(bm.name, func(b *testing.B) {
			_, peer := served(b, replyText(bm.reply))
			message, _ := peer.encode(textCall(caller, "Get"), text("Status"), 0)
			exchange(b, peer.sock, []byte(message), 1)
		})
	}
}

// BenchmarkPipelined is many calls in one read.
func BenchmarkPipelined(b *testing.B) {
	const together = 32
	_, peer := served(b, replyText("running"))
	message, _ := peer.encode(textCall(caller, "Get"), text("Status"), 0)
	exchange(b, peer.sock, []byte(strings.Repeat(message, together)), together)
}

// BenchmarkRaw is BenchmarkCall/64B against a peer that only reads and writes: what
// the kernel and the two goroutines take.
func BenchmarkRaw(b *testing.B) {
	_, peer := newConn(b) // for the messages
	reply, _ := peer.encode(wire.Header{
		Type: wire.MethodReturn, Sender: self, ReplySerial: 1, Signature: "s", Destination: caller,
	}, text(strings.Repeat("x", 64)), 0)
	message, _ := peer.encode(textCall(caller, "Get"), text("Status"), 0)
	raw, ours := newBus(b)
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf, answer := make([]byte, 16<<10), []byte(reply)
		for {
			if _, _, err := ours.Read(buf); err != nil {
				return
			}
			if err := ours.Send(answer, nil); err != nil {
				return
			}
		}
	}()
	exchange(b, raw.sock, []byte(message), 1)
	raw.sock.Close()
	<-done
	ours.Close()
}

// exchange sends the calls and reads as many replies, over and over.
func exchange(b *testing.B, sock *socket.Conn, calls []byte, n int) {
	b.Helper()
	buf := make([]byte, 256<<10)
	sock.SetReadDeadline(time.Time{})
	b.ReportAllocs()
	for b.Loop() {
		if err := sock.Send(calls, nil); err != nil {
			b.Fatal(err)
		}
		for replies := 0; replies < n; {
			replies += read(b, sock, buf)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/call")
}

// read reads whole messages and counts them.
func read(b *testing.B, sock *socket.Conn, buf []byte) (messages int) {
	b.Helper()
	for have := 0; ; {
		n, _, err := sock.Read(buf[have:])
		if err != nil {
			b.Fatal(err)
		}
		have += n
		at := 0
		for at < have {
			size, err := wire.MessageSize(buf[at:have])
			if err != nil || at+size > have {
				break
			}
			at += size
			messages++
		}
		if at == have {
			return messages
		}
		have = copy(buf, buf[at:have])
	}
}
