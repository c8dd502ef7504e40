package endpoint_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"qmp-dbus-bridge/bridge/endpoint"
	"qmp-dbus-bridge/schema/wire"
)

// sized is the string that makes a call's message this large.
func (b *bus) sized(h wire.Header, size int) string {
	b.Helper()
	b.serial--
	empty, _ := b.encode(h, text(""), 0)
	return strings.Repeat("x", size-len(empty))
}

func sender(i int) string { return fmt.Sprintf(":3.%d", i) }

// holdAll makes a Conn whose calls are all told Later, until they are let go.
func holdAll(t *testing.T) (*endpoint.Conn, *bus, *later) {
	t.Helper()
	h := hold()
	h.all = true
	c, b := served(t, h)
	return c, b, h
}

func TestMaxMessage(t *testing.T) {
	_, b := served(t, echo)
	h := textCall(caller, "Echo")
	for range 2 {
		largest := b.sized(h, endpoint.MaxMessage)
		b.wantReply(b.send(h, text(largest)), largest)
		writers, readers := pipes(t, 2)
		b.wantError(b.send(h, text(largest+"x"), writers...), limitsExceeded)
		wantClosed(t, readers)
		b.wantError(b.send(h, text(strings.Repeat("x", 9<<20))), limitsExceeded)
		b.wantReply(b.send(h, text("more")), "more")
	}
}

// What comes behind an oversized message that is smaller than what is read at once keeps its descriptors.
func TestSmallMaxMessage(t *testing.T) {
	const most = 4 << 10
	entered, leave := make(chan struct{}, 1), make(chan struct{})
	c, b := open(t, endpoint.Config{Log: discard, Limits: endpoint.Limits{Message: most}})
	serve(t, c, handler(func(call *endpoint.Call) endpoint.Verdict {
		if call.Member == "Block" { // until what follows can be read at once
			entered <- struct{}{}
			<-leave
			return echo(call)
		}
		fds := call.TakeFDs()
		closeFDs(fds)
		_ = call.Reply("u", func(e *wire.Encoder) error { e.Uint32(uint32(len(fds))); return nil })
		return endpoint.Accepted
	}))
	b.send(call(caller, "Block"), nil)
	receive(t, entered)
	h := textCall(caller, "Echo")
	refused := b.send(h, text(b.sized(h, most+1)))
	writers, readers := pipes(t, 2)
	next := b.send(call(caller, "Count"), nil, writers...)
	close(leave)
	b.wantReply(b.serial-2, "")
	b.wantError(refused, limitsExceeded)
	reply := b.next()
	d := reply.Decoder()
	if n := d.Uint32(); reply.ReplySerial != next || n != 2 {
		t.Errorf("got %+v of %d descriptors, want a reply to %d of 2", reply, n, next)
	}
	wantClosed(t, readers)
}

// An oversized message is answered as long as its header, which a caller can blow up with the
// path, can be read; beyond, it is only skipped.
func TestMaxMessageHeader(t *testing.T) {
	_, b := served(t, echo)
	h := textCall(caller, "Echo")
	for _, size := range []int{17 << 10, endpoint.MaxMessage - 1<<10} {
		h.Path = "/" + strings.Repeat("p", size)
		b.wantError(b.send(h, text(strings.Repeat("x", endpoint.MaxMessage))), limitsExceeded)
	}
	for _, size := range []int{endpoint.MaxMessage, 5 << 20} {
		h.Path = "/" + strings.Repeat("p", size)
		writers, readers := pipes(t, 1)
		b.send(h, text("x"), writers...)
		wantClosed(t, readers)
	}
	h.Path = "/" + strings.Repeat("p", 1<<20)
	b.wantReply(b.send(h, text("more")), "more")
}

func TestMaxCallFDs(t *testing.T) {
	_, b := served(t, echo)
	writers, readers := pipes(t, endpoint.MaxCallFDs)
	b.wantReply(b.send(call(caller, "Echo"), nil, writers...), "")
	wantClosed(t, readers)
	writers, readers = pipes(t, endpoint.MaxCallFDs+1)
	b.wantError(b.send(call(caller, "Echo"), nil, writers...), limitsExceeded)
	wantClosed(t, readers)
}

func TestMaxQueuedCalls(t *testing.T) {
	c, b, h := holdAll(t)
	var serials []uint32
	for range endpoint.MaxQueuedCalls {
		serials = append(serials, b.send(textCall(caller, "Echo"), text("x")))
	}
	writers, readers := pipes(t, 1)
	b.wantError(b.send(textCall(caller, "Echo"), text("x"), writers...), limitsExceeded)
	wantClosed(t, readers)
	h.letAllGo()
	b.wantReply(b.send(textCall(another, "Echo"), text("not mine")), "not mine")
	c.Wake(caller)
	for _, serial := range serials {
		b.wantReply(serial, "x")
	}
}

// Two calls of the largest size may wait.
func TestQueuedBytes(t *testing.T) {
	c, b, h := holdAll(t)
	largest := b.sized(textCall(caller, "Echo"), endpoint.MaxMessage)
	first := b.send(textCall(caller, "Echo"), text(largest))
	second := b.send(textCall(caller, "Echo"), text(largest))
	b.wantError(b.send(call(caller, "Echo"), nil), limitsExceeded)
	h.letAllGo()
	c.Wake(caller)
	b.wantReply(first, largest)
	b.wantReply(second, largest)
	b.wantReply(b.send(call(caller, "Echo"), nil), "")
}

// Four calls with as many descriptors as may be may wait.
func TestQueuedFDs(t *testing.T) {
	c, b, h := holdAll(t)
	var last uint32
	for range 4 {
		writers, _ := pipes(t, endpoint.MaxCallFDs)
		last = b.send(call(caller, "Echo"), nil, writers...)
	}
	writers, readers := pipes(t, 1)
	b.wantError(b.send(call(caller, "Echo"), nil, writers...), limitsExceeded)
	wantClosed(t, readers)
	h.letAllGo()
	c.Wake(caller)
	for b.next().ReplySerial != last {
	}
	writers, _ = pipes(t, 1)
	b.wantReply(b.send(call(caller, "Echo"), nil, writers...), "")
}

func TestMaxHeldFDs(t *testing.T) {
	c, b, h := holdAll(t)
	for i := range endpoint.MaxHeldFDs / endpoint.MaxCallFDs {
		writers, _ := pipes(t, endpoint.MaxCallFDs)
		b.send(call(sender(i/4), "Echo"), nil, writers...)
		eventually(t, "we read", func() bool { return b.sock.Queued() == 0 })
	}
	writers, readers := pipes(t, 1)
	b.wantError(b.send(call(caller, "Echo"), nil, writers...), limitsExceeded)
	wantClosed(t, readers)
	c.Forget(sender(1))
	h.letAllGo()
	writers, readers = pipes(t, 1)
	b.wantReply(b.send(call(caller, "Echo"), nil, writers...), "")
	wantClosed(t, readers)
}

func TestMaxSenders(t *testing.T) {
	c, b, h := holdAll(t)
	for i := range endpoint.MaxSenders {
		b.send(call(sender(i), "Echo"), nil)
	}
	b.wantError(b.send(call(caller, "Echo"), nil), limitsExceeded)
	b.send(call(sender(0), "Echo"), nil) // one that waits already
	c.Forget(sender(1))
	h.letAllGo()
	b.wantReply(b.send(call(caller, "Echo"), nil), "")
}

func TestMaxQueuedTotal(t *testing.T) {
	c, b, h := holdAll(t)
	head := textCall(sender(0), "Echo")
	free := endpoint.MaxQueuedTotal
	for i := 0; free > 0; i++ {
		size := min(free-endpoint.CallCost, endpoint.MaxMessage)
		head.Sender = sender(i / 2)
		b.send(head, text(b.sized(head, size)))
		free -= size + endpoint.CallCost
		eventually(t, "we read", func() bool { return b.sock.Queued() == 0 })
	}
	// Large ones are not handled by the goroutine that reads.
	eventually(t, "the last sender waits", func() bool { return h.times(head.Sender) == 1 })
	b.wantError(b.send(call(caller, "Echo"), nil), limitsExceeded)
	c.Forget(sender(1))
	h.letAllGo()
	b.wantReply(b.send(call(caller, "Echo"), nil), "")
}

// However many calls come past the limits, each is answered and memory stays flat.
func TestFlood(t *testing.T) {
	const n = 5_000
	_, b, _ := holdAll(t)
	before := heap()
	for i := range n {
		b.send(textCall(caller, "Echo"), text("x"))
		if i >= endpoint.MaxQueuedCalls {
			b.wantError(b.serial, limitsExceeded)
		}
	}
	if grown := heap() - before; grown > 2<<20 {
		t.Errorf("%d calls took %d bytes", n, grown)
	}
}

// What a large message took is given back.
func TestLargeMessage(t *testing.T) {
	_, b := served(t, echo)
	before := heap()
	largest := b.sized(textCall(caller, "Echo"), endpoint.MaxMessage)
	b.wantReply(b.send(textCall(caller, "Echo"), text(largest)), largest)
	b.buf, b.enc = nil, wire.Encoder{}
	eventually(t, "the memory is free again", func() bool { return heap()-before < 1<<20 })
}

func heap() int {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// Limits that are set are kept: at each, and one past it.
func TestLimits(t *testing.T) {
	h := hold()
	h.all = true
	c, b := open(t, endpoint.Config{Log: discard, Limits: endpoint.Limits{QueuedCalls: 3, CallFDs: 20, HeldFDs: 64}})
	serve(t, c, h)
	for range 3 {
		b.send(call(caller, "Echo"), nil)
	}
	b.wantError(b.send(call(caller, "Echo"), nil), limitsExceeded)
	writers, readers := pipes(t, 21)
	b.wantError(b.send(call(another, "Echo"), nil, writers...), limitsExceeded)
	wantClosed(t, readers)
	for i, n := range []int{20, 12, 20, 12} { // 32 of a sender, half of all
		writers, _ := pipes(t, n)
		b.send(call(sender(i/2), "Echo"), nil, writers...)
	}
	writers, readers = pipes(t, 1)
	b.wantError(b.send(call(another, "Echo"), nil, writers...), limitsExceeded)
	wantClosed(t, readers)
	c.Forget(sender(0))
	h.letAllGo()
	writers, readers = pipes(t, 20)
	b.wantReply(b.send(call(another, "Echo"), nil, writers...), "")
	wantClosed(t, readers)
}
