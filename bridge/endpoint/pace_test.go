package endpoint_test

import (
	"testing"
	"time"

	"qmp-dbus-bridge/bridge/endpoint"
)

// What limit.go says of larger calls, in bytes, and of rests.
const (
	calm  = 1 << 20
	quick = 4<<10 + endpoint.CallCost
	pace  = 15
)

// paced has two calls of these sizes, with CallCost, wait, of one account, and measures how long the first takes and how much time
// is between them.
func paced(t *testing.T, first, second int) (took, between time.Duration) {
	t.Helper()
	const working = 10 * time.Millisecond
	held, handled := true, make(chan time.Time, 3)
	var ended time.Time
	conns := make(chan *endpoint.Conn, 1)
	conn, b, _ := accountable(t, handler(func(c *endpoint.Call) endpoint.Verdict {
		switch {
		case c.Sender == caller: // the others are there
			held = false
			(<-conns).Wake(of(3, 0))
			return echo(c)
		case held:
			return endpoint.Later
		}
		began := time.Now()
		if c.Member == "First" {
			time.Sleep(working)
			ended = time.Now()
			took = ended.Sub(began)
		}
		handled <- began
		return echo(c)
	}))
	conns <- conn
	for i, size := range []int{first, second} {
		h := textCall(of(3, 0), []string{"First", "Second"}[i])
		b.send(h, text(b.sized(h, size-endpoint.CallCost)))
	}
	b.send(call(caller, "Echo"), nil)
	receive(t, handled)
	return took, receive(t, handled).Sub(ended)
}

// Who has more waiting than may be has larger calls rest for some times as long as the one before took. At the limits nobody
// does; a machine that stands still may look like it, but not each time.
func TestPace(t *testing.T) {
	for _, test := range []struct {
		what          string
		first, second int
	}{
		{"a large call with one byte more waiting", calm / 2, calm/2 + 1},
		{"a call that is just not quick, with much more waiting", quick + 1, 2 << 20},
	} {
		if took, between := paced(t, test.first, test.second); between < pace*took {
			t.Errorf("%s: %v took %v, and the next began %v later, want %v at least", test.what, test.first, took, between, pace*took)
		}
	}
	for _, test := range []struct {
		what          string
		first, second int
	}{
		{"a large call with as much waiting as may be", calm / 2, calm / 2},
		{"the largest quick call, with much more waiting", quick, 2 << 20},
	} {
		eventually(t, test.what+" has nobody rest", func() bool {
			took, between := paced(t, test.first, test.second)
			return between < pace*took
		})
	}
}
