package endpoint_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"qmp-dbus-bridge/bridge/endpoint"
)

// accounts tell who answers for a sender: the number before the dot in ":3.7", unless it is not known.
type accounts struct {
	mu      sync.Mutex
	unknown map[string]bool
}

func (a *accounts) of(sender string) endpoint.Account {
	a.mu.Lock()
	defer a.mu.Unlock()
	var account endpoint.Account
	if _, err := fmt.Sscanf(sender, ":%d.", &account); err != nil || a.unknown[sender] {
		return endpoint.Unknown
	}
	return account
}

func (a *accounts) learn(sender string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.unknown, sender)
}

// accountable makes a Conn that holds all calls back, whose senders have accounts.
func accountable(t *testing.T, h endpoint.Handler) (*endpoint.Conn, *bus, *accounts) {
	t.Helper()
	c, b := newConn(t)
	a := &accounts{unknown: map[string]bool{}}
	c.OnAccount(a.of)
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
	held, handled := true, make(chan struct{}, 2*many)
	var senders []string
	for i := range many {
		senders = append(senders, of(3, i))
	}
	senders = append(senders, of(4, 0), of(5, 0))
	conn, b, known := accountable(t, handler(func(c *endpoint.Call) endpoint.Verdict {
		if c.Sender == caller { // all that wait become ready at the same time
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

// One account has half of what all senders may make us hold: at that, and one past it, while another's
// calls are still taken.
func TestAccountShare(t *testing.T) {
	for name, limit := range map[string]struct {
		fill func(b *bus)
		over string // in the text of the refusal
	}{
		"senders": {func(b *bus) {
			for i := range endpoint.MaxSenders / 2 {
				b.send(call(of(3, i), "Echo"), nil)
			}
		}, "too many callers of your user"},
		"bytes": {func(b *bus) {
			free := endpoint.MaxQueuedTotal / 2
			for i := 0; free > 0; i++ {
				head := textCall(of(3, i/2), "Echo")
				size := min(free-endpoint.CallCost, endpoint.MaxMessage)
				b.send(head, text(b.sized(head, size)))
				free -= size + endpoint.CallCost
				eventually(b, "we read", func() bool { return b.sock.Queued() == 0 })
			}
		}, "the calls of your user"},
		"descriptors": {func(b *bus) {
			for i := range endpoint.MaxHeldFDs / 2 / endpoint.MaxCallFDs {
				writers, _ := pipes(b, endpoint.MaxCallFDs)
				b.send(call(of(3, i/4), "Echo"), nil, writers...)
				eventually(b, "we read", func() bool { return b.sock.Queued() == 0 })
			}
		}, "too many file descriptors of your user"},
	} {
		t.Run(name, func(t *testing.T) {
			h := hold()
			h.all = true
			c, b, _ := accountable(t, h)
			limit.fill(b)
			writers, readers := pipes(t, 1)
			refused := b.wantError(b.send(call(of(3, 9999), "Echo"), nil, writers...), limitsExceeded)
			d := refused.Decoder()
			if text := d.String(); !strings.Contains(text, limit.over) {
				t.Errorf("refused for %q, want %q", text, limit.over)
			}
			wantClosed(t, readers)
			writers, _ = pipes(t, 1)
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
