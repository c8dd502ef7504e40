package endpoint_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"qmp-dbus-bridge/bridge/endpoint"
	"qmp-dbus-bridge/schema/wire"
)

// administrator is the account of one.
const administrator = 0

// accounts tell who answers for a sender: the number before the dot in ":3.7", unless it is not known.
type accounts struct {
	mu      sync.Mutex
	unknown map[string]bool
}

func (a *accounts) of(sender string) (account endpoint.Account, admin bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, err := fmt.Sscanf(sender, ":%d.", &account); err != nil || a.unknown[sender] {
		return endpoint.Unknown, false
	}
	return account, account == administrator
}

func (a *accounts) learn(sender string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.unknown, sender)
}

// accountable makes a Conn that holds all calls back, whose senders have accounts.
func accountable(t *testing.T, h endpoint.Handler) (*endpoint.Conn, *bus, *accounts) {
	t.Helper()
	a := &accounts{unknown: map[string]bool{}}
	c, b := open(t, endpoint.Config{Log: discard, Account: a.of})
	serve(t, c, h)
	return c, b, a
}

func of(account, sender int) string { return fmt.Sprintf(":%d.%d", account, sender) }

// Accounts take turns, however many senders one has. One that was not known when its senders' calls came
// is like any other when they get their turns.
func TestTurnsOfAccounts(t *testing.T) {
	const many = 20
	var conn *endpoint.Conn
	var known *accounts
	var order []string
	held, handled, made := true, make(chan struct{}, 2*many), make(chan struct{})
	var senders []string
	for i := range many {
		senders = append(senders, of(3, i))
	}
	senders = append(senders, of(4, 0), of(5, 0))
	conn, b, known := accountable(t, handler(func(c *endpoint.Call) endpoint.Verdict {
		if c.Sender == caller { // all that wait become ready at the same time
			<-made
			held = false
			for _, sender := range senders {
				known.learn(sender)
				conn.Wake(sender)
			}
			return echo(c)
		}
		if held {
			return endpoint.Later
		}
		order = append(order, c.Sender)
		handled <- struct{}{}
		return echo(c)
	}))
	close(made)
	known.mu.Lock()
	known.unknown[of(5, 0)] = true
	known.mu.Unlock()
	for _, sender := range senders {
		b.send(call(sender, "Echo"), nil)
	}
	b.send(call(caller, "Echo"), nil)
	for range senders {
		receive(t, handled)
	}
	want := append([]string{of(3, 0), of(4, 0), of(5, 0)}, senders[1:many]...)
	if !slices.Equal(order, want) {
		t.Errorf("turns %v, want %v", order, want)
	}
}

// filling fills what the senders of an account may make us hold, of which size is given: that many senders, bytes
// or descriptors.
var filling = map[string]struct {
	all  int
	fill func(b *bus, h *later, account, size int)
	over string // in the text of the refusal
}{
	"senders": {endpoint.MaxSenders, func(b *bus, _ *later, account, size int) {
		for i := range size {
			b.send(call(of(account, i), "Echo"), nil)
		}
	}, "too many callers of "},
	"bytes": {endpoint.MaxQueuedTotal, func(b *bus, h *later, account, free int) {
		last := ""
		for i := 0; free > 0; i++ {
			last = of(account, i/2)
			head := textCall(last, "Echo")
			size := min(free-endpoint.CallCost, endpoint.MaxMessage)
			b.send(head, text(b.sized(head, size)))
			free -= size + endpoint.CallCost
			eventually(b, "we read", func() bool { return b.sock.Queued() == 0 })
		}
		// Large ones are not handled by the goroutine that reads.
		eventually(b, "the last sender waits", func() bool { return h.times(last) == 1 })
	}, "the calls of "},
	"descriptors": {endpoint.MaxHeldFDs, func(b *bus, _ *later, account, size int) {
		for i := range size / endpoint.MaxCallFDs {
			writers, _ := pipes(b, endpoint.MaxCallFDs)
			b.send(call(of(account, i/4), "Echo"), nil, writers...)
			eventually(b, "we read", func() bool { return b.sock.Queued() == 0 })
		}
	}, "too many file descriptors of "},
}

// wantRefused fails unless a call with a descriptor is refused with this text.
func (b *bus) wantRefused(sender, over string) {
	b.Helper()
	writers, readers := pipes(b, 1)
	refused := b.wantError(b.send(call(sender, "Echo"), nil, writers...), limitsExceeded)
	d := refused.Decoder()
	if text := d.String(); !strings.Contains(text, over) {
		b.Errorf("refused for %q, want %q", text, over)
	}
	wantClosed(b, readers)
}

// One account has half of what all senders may make us hold: at that, and one past it, while another's
// calls are still taken.
func TestAccountShare(t *testing.T) {
	for name, limit := range filling {
		t.Run(name, func(t *testing.T) {
			h := hold()
			h.all = true
			c, b, _ := accountable(t, h)
			limit.fill(b, h, 3, limit.all/2)
			b.wantRefused(of(3, 9999), limit.over+"your user")
			writers, _ := pipes(t, 1)
			other := b.send(call(of(4, 0), "Echo"), nil, writers...)
			c.Forget(of(3, 0))
			h.letAllGo()
			c.Wake(of(4, 0))
			b.wantReply(other, "")
			writers, _ = pipes(t, 1)
			b.wantReply(b.send(call(of(3, 9999), "Echo"), nil, writers...), "")
		})
	}
}

// All who are no administrators have three quarters: at that, and one past it, while an administrator's calls are
// still taken, though it is not known at first who he is.
func TestUsersShare(t *testing.T) {
	for name, limit := range filling {
		t.Run(name, func(t *testing.T) {
			h := hold()
			h.all = true
			c, b, known := accountable(t, h)
			limit.fill(b, h, 3, limit.all/2)
			limit.fill(b, h, 4, limit.all/4)
			b.wantRefused(of(4, 9999), limit.over+"users who are no administrators")
			b.wantRefused(of(5, 0), limit.over+"users who are no administrators")
			first := of(administrator, 9999)
			known.mu.Lock()
			known.unknown[first] = true
			known.mu.Unlock()
			writers, _ := pipes(t, 1)
			waits := b.send(call(first, "Echo"), nil, writers...)
			eventually(t, "the administrator's call waits", func() bool { return h.times(first) == 1 })
			limit.fill(b, h, administrator, limit.all/8)
			known.learn(first)
			h.letAllGo()
			c.Wake(first)
			m := b.next()
			for m.ReplySerial != waits { // others of his may not have been handled until now
				m = b.next()
			}
			if m.Type != wire.MethodReturn {
				t.Errorf("an administrator's call: %s", m.ErrorName)
			}
		})
	}
}

// All who are no administrators or not known have seven eighths: at that, and one past it, while a known
// administrator's calls are still taken.
func TestOthersShare(t *testing.T) {
	for name, limit := range filling {
		t.Run(name, func(t *testing.T) {
			h := hold()
			h.all = true
			c, b, known := accountable(t, h)
			known.mu.Lock()
			for i := range endpoint.MaxSenders {
				known.unknown[of(5, i)] = true
			}
			known.mu.Unlock()
			limit.fill(b, h, 3, limit.all/2)
			limit.fill(b, h, 5, limit.all*3/8)
			b.wantRefused(of(5, endpoint.MaxSenders-1), limit.over+"users who are no administrators")
			writers, _ := pipes(t, 1)
			waits := b.send(call(of(administrator, 0), "Echo"), nil, writers...)
			eventually(t, "the administrator's call waits", func() bool { return h.times(of(administrator, 0)) == 1 })
			h.letAllGo()
			c.Wake(of(administrator, 0))
			b.wantReply(waits, "")
		})
	}
}

// Calls that were taken when it was not known who answers for them are refused once that is known, and his share is full
// without them.
func TestLateShare(t *testing.T) {
	h := hold()
	h.all = true
	c, b, known := accountable(t, h)
	late := of(3, 9999)
	known.mu.Lock()
	known.unknown[late] = true
	known.mu.Unlock()
	writers, readers := pipes(t, 1)
	refused := b.send(call(late, "Echo"), nil, writers...)
	bytes := filling["bytes"]
	bytes.fill(b, h, 3, bytes.all/2)
	b.wantRefused(of(3, 5000), bytes.over+"your user") // and so all has been taken
	known.learn(late)
	c.Wake(late)
	b.wantError(refused, limitsExceeded)
	wantClosed(t, readers)
	c.Forget(of(3, 0))
	h.letAllGo()
	b.wantReply(b.send(call(late, "Echo"), nil), "")
}

// Senders whose account is not known yet share one, until it is.
func TestUnknownAccount(t *testing.T) {
	h := hold()
	h.all = true
	c, b, known := accountable(t, h)
	const half = endpoint.MaxSenders / 2
	known.mu.Lock()
	for i := range half + 2 {
		known.unknown[of(i, 0)] = true
	}
	known.mu.Unlock()
	for i := range half {
		b.send(call(of(i, 0), "Echo"), nil)
	}
	b.wantError(b.send(call(of(half, 0), "Echo"), nil), limitsExceeded)
	known.learn(of(0, 0))
	c.Wake(of(0, 0)) // it is told Later again, as one of a known account
	eventually(t, "the call is tried again", func() bool { return h.times(of(0, 0)) == 2 })
	waits := b.send(call(of(half, 0), "Echo"), nil)
	b.wantError(b.send(call(of(half+1, 0), "Echo"), nil), limitsExceeded)
	h.letAllGo()
	c.Wake(of(half, 0))
	b.wantReply(waits, "")
}
