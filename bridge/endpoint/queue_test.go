package endpoint_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/bridge/endpoint"
)

// later tells the calls of a sender Later until it is let go.
type later struct {
	all   bool // of every sender
	mu    sync.Mutex
	held  map[string]bool
	order []string
	told  map[string]int // how often
}

func hold(senders ...string) *later {
	l := &later{held: map[string]bool{}, told: map[string]int{}}
	for _, s := range senders {
		l.held[s] = true
	}
	return l
}

func (l *later) Handle(c *endpoint.Call) endpoint.Verdict {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all || l.held[c.Sender] {
		l.told[c.Sender]++
		return endpoint.Later
	}
	d := c.Decoder()
	l.order = append(l.order, c.Sender+" "+d.String())
	return echo(c)
}

func (l *later) letGo(c *endpoint.Conn, sender string) {
	l.mu.Lock()
	delete(l.held, sender)
	l.mu.Unlock()
	c.Wake(sender)
}

// handled gives the calls in the order of their turns: sender and text.
func (l *later) handled() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.order)
}

func (l *later) letAllGo() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = false
}

func (l *later) times(sender string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.told[sender]
}

// A sender's calls start in order, though many are told Later and woken from other
// goroutines, one of them before Handle has returned.
func TestOrder(t *testing.T) {
	const n = 2000
	var conn *endpoint.Conn
	var wakers sync.WaitGroup
	var tries atomic.Int64
	var order []string
	handled := make(chan struct{})
	wake := func() { conn.Wake(caller) }
	conn, b := newConn(t)
	serve(t, conn, handler(func(c *endpoint.Call) endpoint.Verdict {
		switch try := tries.Add(1); {
		case try%3 == 0:
			wakers.Go(wake)
			return endpoint.Later
		case try%7 == 0:
			wake()
			return endpoint.Later
		}
		d := c.Decoder()
		if order = append(order, d.String()); len(order) == n {
			close(handled)
		}
		return echo(c)
	}))
	var want []string
	for i := range n {
		// A queue's worth at a time: more would be refused.
		if i%endpoint.MaxQueuedCalls == 0 && i > 0 {
			for j := range endpoint.MaxQueuedCalls {
				b.wantReply(b.serial-endpoint.MaxQueuedCalls+uint32(j)+1, strconv.Itoa(i-endpoint.MaxQueuedCalls+j))
			}
		}
		want = append(want, strconv.Itoa(i))
		b.send(textCall(caller, "Echo"), text(want[i]))
	}
	receive(t, handled)
	wakers.Wait()
	if !slices.Equal(order, want) {
		t.Errorf("order %v", order)
	}
}

// A sender whose call can't start does not hold up another; when it can, its calls start
// in order.
func TestLater(t *testing.T) {
	h := hold(caller)
	c, b := served(t, h)
	first := b.send(textCall(caller, "Echo"), text("1"))
	second := b.send(textCall(caller, "Echo"), text("2"))
	b.wantReply(b.send(textCall(another, "Echo"), text("3")), "3")
	c.Wake(another)
	c.Wake(":1.666")
	c.Wake(caller) // still Later; the reader may be the one who asks
	eventually(t, "the first call was told Later twice", func() bool { return h.times(caller) == 2 })
	h.letGo(c, caller)
	b.wantReply(first, "1")
	b.wantReply(second, "2")
}

// Senders with waiting calls take turns, call by call.
func TestTurns(t *testing.T) {
	const n = 50
	h := hold(caller, another)
	c, b := newConn(t)
	gate := make(chan struct{})
	entered := make(chan struct{}, 1)
	serve(t, c, handler(func(call *endpoint.Call) endpoint.Verdict {
		if call.Member == "Block" { // so that both are woken before either has its turn
			entered <- struct{}{}
			<-gate
		}
		return h.Handle(call)
	}))
	for i := range n {
		b.send(textCall(caller, "Echo"), text(strconv.Itoa(i)))
	}
	for i := range 2 {
		b.send(textCall(another, "Echo"), text(strconv.Itoa(i)))
	}
	b.send(textCall(":1.10", "Block"), text("0"))
	receive(t, entered)
	h.letGo(c, caller)
	h.letGo(c, another)
	close(gate)
	for range n + 3 {
		b.next()
	}
	want := []string{":1.10 0", caller + " 0", another + " 0", caller + " 1", another + " 1", caller + " 2"}
	if got := h.handled()[:len(want)]; !slices.Equal(got, want) {
		t.Errorf("order %q, want %q", got, want)
	}
}

// Who called Wake does not go on working for those who send: the reader takes over.
func TestWakerIsRelieved(t *testing.T) {
	told, entered := make(chan struct{}, 1), make(chan struct{}, 1)
	proceed, woken := make(chan struct{}), make(chan struct{})
	var held atomic.Bool
	held.Store(true)
	c, b := served(t, handler(func(call *endpoint.Call) endpoint.Verdict {
		switch {
		case held.Load():
			told <- struct{}{}
			return endpoint.Later
		case call.Member == "First":
			entered <- struct{}{}
			<-proceed
		default:
			receive(t, woken) // never, if the waker itself is here
		}
		return echo(call)
	}))
	b.send(textCall(caller, "First"), text("0"))
	receive(t, told)
	held.Store(false)
	go func() {
		c.Wake(caller)
		close(woken)
	}()
	receive(t, entered)
	b.send(textCall(another, "Flood"), text("1"))
	b.send(textCall(another, "Flood"), text("2"))
	time.Sleep(20 * time.Millisecond) // for the reader to have it
	close(proceed)
	b.wantReply(1+1, "0")
	b.wantReply(2+1, "1")
	b.wantReply(3+1, "2")
}

// While a large call is being handled, all that comes is read, and answered where it exceeds a limit: it is not left to
// the bus, which would refuse everybody's.
func TestReadsOn(t *testing.T) {
	entered, leave := make(chan struct{}, 1), make(chan struct{})
	_, b := served(t, handler(func(c *endpoint.Call) endpoint.Verdict {
		if c.Member == "Large" {
			entered <- struct{}{}
			<-leave
		}
		return echo(c)
	}))
	large := b.send(textCall(caller, "Large"), text(strings.Repeat("x", 64<<10)))
	receive(t, entered)
	first := b.serial + 1
	for range endpoint.MaxQueuedCalls {
		b.send(textCall(another, "Echo"), text("x"))
	}
	b.wantError(b.send(textCall(another, "Echo"), text("x")), limitsExceeded)
	close(leave)
	b.wantReply(large, strings.Repeat("x", 64<<10))
	for i := range endpoint.MaxQueuedCalls {
		b.wantReply(first+uint32(i), "x")
	}
}

func TestForget(t *testing.T) {
	h := hold(caller, another)
	c, b := served(t, h)
	writers, readers := pipes(t, 2)
	b.send(textCall(caller, "Echo"), text("1"), writers[0])
	b.send(textCall(caller, "Echo"), text("2"), writers[1])
	other := b.send(textCall(another, "Echo"), text("3"))
	eventually(t, "another waits", func() bool { return h.times(another) == 1 })
	wantOpen(t, readers)
	c.Forget(caller)
	c.Forget(":1.666")
	wantClosed(t, readers)
	h.letGo(c, caller)
	// What comes behind, from a queue of the bus, is a call as any.
	b.wantReply(b.send(textCall(caller, "Echo"), text("4")), "4")
	h.letGo(c, another)
	b.wantReply(other, "3")
}

// Forget during handling drops the calls behind, and the one that is handled when that is told Later.
func TestForgetWhileHandled(t *testing.T) {
	c, b := newConn(t)
	entered, leave := make(chan struct{}, 1), make(chan struct{})
	h := hold(caller)
	var first atomic.Bool
	first.Store(true)
	serve(t, c, handler(func(call *endpoint.Call) endpoint.Verdict {
		if call.Member == "Block" && !first.Swap(false) {
			entered <- struct{}{}
			<-leave
			return endpoint.Later
		}
		return h.Handle(call)
	}))
	writers, readers := pipes(t, 2)
	b.send(textCall(caller, "Block"), text("1"), writers[0])
	b.send(textCall(caller, "Echo"), text("2"), writers[1])
	b.wantReply(b.send(textCall(another, "Echo"), text("3")), "3")
	var waker sync.WaitGroup
	waker.Go(func() { c.Wake(caller) })
	receive(t, entered)
	c.Forget(caller)
	wantClosed(t, readers[1:])
	wantOpen(t, readers[:1])
	close(leave)
	waker.Wait()
	wantClosed(t, readers)
	h.letGo(c, caller)
	// What comes behind, from a queue of the bus, is a call as any.
	b.wantReply(b.send(textCall(caller, "Echo"), text("4")), "4")
}

// Many goroutines wake and forget while calls come: with -race, and at the end
// nothing is held.
func TestQueueStorm(t *testing.T) {
	const senders, rounds = 8, 50
	c, b := newConn(t)
	var tries atomic.Int64
	serve(t, c, handler(func(call *endpoint.Call) endpoint.Verdict {
		if tries.Add(1)%4 == 0 {
			return endpoint.Later
		}
		return echo(call)
	}))
	done := make(chan struct{})
	var storm sync.WaitGroup
	for i := range senders {
		storm.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-done:
					return
				default:
				}
				name := fmt.Sprintf(":2.%d", (i+n)%senders)
				if n%16 == 0 {
					c.Forget(name)
				}
				c.Wake(name)
			}
		})
	}
	writers, readers := pipes(t, 1)
	for range rounds {
		for i := range senders {
			b.send(textCall(fmt.Sprintf(":2.%d", i), "Echo"), text("x"), duplicate(t, writers[0]))
		}
		eventually(t, "we read", func() bool { return b.sock.Queued() == 0 })
	}
	unix.Close(writers[0])
	last := b.send(textCall(caller, "Echo"), text("last"))
	storm.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				c.Wake(caller)
			}
		}
	})
	for {
		if m := b.next(); m.ReplySerial == last {
			break
		}
	}
	close(done)
	storm.Wait()
	for i := range senders {
		c.Forget(fmt.Sprintf(":2.%d", i))
	}
	wantClosed(t, readers)
}
