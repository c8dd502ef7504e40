package endpoint

import (
	"slices"
	"sync"

	"qmp-dbus-bridge/bridge/turns"
)

// Verdict is a handler's answer to a call whose turn has come.
type Verdict bool

const (
	// Accepted: the call is answered or will be.
	Accepted Verdict = true
	// Later: the call can't start now; it stays at the head of its sender's queue,
	// and so do the calls behind it, until Wake names the sender.
	Later Verdict = false
)

// queue holds the calls that wait, by sender, and decides whose turn it is.
//
// One goroutine at a time takes turns: that which finds work and nobody running. What
// others add meanwhile, it does too; but the reader, who always has more, takes over
// from it, so that nobody who only called Wake works for a flooding sender for long.
type queue struct {
	handle    func(*Call) Verdict
	drop      func(*Call)         // lets go of a call that nobody will handle
	refuse    func(*Call, string) // drops it and answers which limit it exceeded; does not wait
	blocked   func() bool         // no call may start now; resume tells when that may have changed
	accountOf func(sender string) (a Account, admin bool)
	limits    Limits

	// mu guards all below. It is held to look and move, never while a call is handled.
	mu      sync.Mutex
	senders map[string]*sender
	ready   turns.List[*account, *sender] // those with a call that may start
	spare   *sender                       // one without calls, to save making it anew for each call
	running bool
	accounts
	pools
	claimed bool      // whoever runs has to stop after this turn
	stopped sync.Cond // signalled then
	closed  bool
	current *sender // whose call is being handled
}

// sender is a caller with calls in the queue.
type sender struct {
	name    string
	account *account
	draws   []*pool // what the calls are counted in
	calls   []*Call // waiting; the first one is being handled where this is queue.current
	load            // of those
	state   senderState
	early   bool // calls were taken before it was known who answers for them
}

type senderState int

const (
	waiting senderState = iota // its first call was told Later
	ready                      // it is in queue.ready
	handled                    // its first call is being handled
	woken                      // and Wake came meanwhile
)

func newQueue(c *Conn) *queue {
	q := &queue{drop: c.drop, refuse: c.answerRefused, blocked: c.backlogged, senders: map[string]*sender{}, pools: newPools()}
	q.stopped.L = &q.mu
	return q
}

// push takes a call in and takes turns. It answers, instead of a verdict, the limit
// that the call would exceed, and has then not taken it. The call's body may be reused when
// push returns. Only one goroutine pushes.
func (q *queue) push(c *Call) (exceeded string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.claim()
	s, exceeded := q.admit(c)
	if exceeded != "" {
		return exceeded
	}
	q.takeTurns()
	// Still waiting: it gets a body of its own before anybody else can see it.
	if n := len(s.calls); n > 0 && s.calls[n-1] == c {
		c.Body = append([]byte(nil), c.Body...)
	}
	return ""
}

// claim waits until nobody takes turns.
func (q *queue) claim() {
	for q.running {
		q.claimed = true
		q.stopped.Wait()
	}
	q.claimed = false
}

// admit appends c to its sender's calls unless that exceeds a limit.
func (q *queue) admit(c *Call) (s *sender, exceeded string) {
	s = q.senders[c.Sender]
	if s == nil {
		s = q.newSender(c.Sender)
	}
	if exceeded = q.exceeds(s, c); exceeded != "" {
		if len(s.calls) == 0 {
			q.remove(s)
		}
		return nil, exceeded
	}
	s.calls = append(s.calls, c)
	s.count(c, 1)
	if len(s.calls) == 1 {
		q.enqueue(s)
	}
	return s, ""
}

// exceeds tells which limit s would exceed with c, if any.
func (q *queue) exceeds(s *sender, c *Call) string {
	switch {
	case len(s.calls) >= q.limits.QueuedCalls:
		return "too many of your calls are waiting; wait for replies before sending more"
	case s.bytes+c.size > q.limits.queuedBytes():
		return "your waiting calls are too large; wait for replies before sending more"
	case s.fds+c.held > q.limits.queuedFDs():
		return "your waiting calls have too many file descriptors; wait for replies before sending more"
	}
	return s.overdraws(load{bytes: c.size, fds: c.held}, &q.limits)
}

func (q *queue) newSender(name string) *sender {
	s := q.spare
	if s == nil {
		s = new(sender)
	}
	q.spare = nil
	s.name, s.early = name, false
	s.load = load{senders: 1}
	q.senders[name] = s
	q.join(s)
	return s
}

// remove takes off a sender that has no calls.
func (q *queue) remove(s *sender) {
	q.leave(s)
	delete(q.senders, s.name)
	q.spare = s
}

// count adds what c holds, n = 1, or takes it off, n = -1.
func (s *sender) count(c *Call, n int) {
	l := load{bytes: c.size, fds: c.held}
	s.add(l, n)
	s.charge(l, n)
}

// enqueue gives s a turn. It may be known only now who answers for it.
func (q *queue) enqueue(s *sender) {
	if s.account.key == Unknown {
		q.leave(s)
		q.join(s)
		s.early = true
	}
	s.state = ready
	q.ready.Add(s.account, s)
}

// wake lets the first call of the sender try again, if it was told Later.
func (q *queue) wake(name string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.senders[name]
	switch {
	case s == nil:
		return
	case s.state == waiting:
		q.enqueue(s)
	case s.state == handled:
		s.state = woken
	}
	q.takeTurns()
}

// resume takes turns again after blocked may have changed.
func (q *queue) resume() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.takeTurns()
}

// takeTurns, if nobody does, handles one call of each ready sender in turn until none
// is ready. It is called, and returns, with mu held.
func (q *queue) takeTurns() {
	if q.running {
		return
	}
	q.running = true
	for !q.ready.Empty() && !q.claimed && !q.closed && !q.blocked() {
		s, _ := q.ready.Next(nil)
		q.turn(s)
	}
	q.running = false
	if q.claimed {
		q.stopped.Broadcast()
	}
}

// turn handles the first call of s, without mu.
func (q *queue) turn(s *sender) {
	s.state, q.current = handled, s
	c := s.calls[0]
	exceeded := q.late(s)
	q.mu.Unlock()
	verdict := Accepted
	if exceeded == "" {
		verdict = q.handle(c)
	} else {
		q.refuse(c, exceeded)
	}
	q.mu.Lock()
	q.current = nil
	switch {
	case verdict == Accepted:
		q.finish(s, c)
	case s.state == woken:
		q.enqueue(s)
	default:
		s.state = waiting
	}
}

// late tells which limit calls of s exceed that were taken before it was known who answers for them.
func (q *queue) late(s *sender) (exceeded string) {
	if s.early && s.account.key != Unknown {
		exceeded = s.overdraws(load{}, &q.limits)
		s.early = exceeded != ""
	}
	return exceeded
}

// finish takes c, the first call of s, off the queue.
func (q *queue) finish(s *sender, c *Call) {
	s.count(c, -1)
	s.calls = slices.Delete(s.calls, 0, 1)
	if len(s.calls) > 0 {
		q.enqueue(s)
		return
	}
	q.remove(s)
}

// forget drops the waiting calls of a sender that has left. The one that is being
// handled right now is not taken back: told Later, it still waits for its Wake.
func (q *queue) forget(name string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if s := q.senders[name]; s != nil {
		q.discard(s)
	}
}

// clear drops all waiting calls, for good, and waits until none is being handled.
func (q *queue) clear() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.claim()
	for _, s := range q.senders {
		q.discard(s)
	}
}

// discard drops all calls of s but one that is being handled.
func (q *queue) discard(s *sender) {
	keep := 0
	if s == q.current {
		keep = 1
	}
	for _, c := range s.calls[keep:] {
		s.count(c, -1)
		q.drop(c)
	}
	s.calls = slices.Delete(s.calls, keep, len(s.calls))
	if keep == 0 {
		q.ready.Remove(s)
		q.leave(s)
		delete(q.senders, s.name)
	}
}
