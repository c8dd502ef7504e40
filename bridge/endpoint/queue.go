package endpoint

import (
	"bytes"
	"slices"
	"sync"
	"time"

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
// Turns are taken one at a time. Who brings a call, or wakes one, takes that turn itself where
// the call is quick and no other quick one waits, which saves a change of goroutines; all others are left to run,
// on a goroutine of its own. So nobody works for a flooding sender for long, the reader least of all: what
// it doesn't read, the bus refuses to everybody. For the same reason large calls are paced, where many wait.
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
	ready   turns.List[*account, *sender] // those whose first call is quick and may start
	large   turns.List[*account, *sender] // those whose first call is not quick and may start unless their account rests
	spare   *sender                       // one without calls, to save making it anew for each call
	running bool                          // a turn is being taken
	accounts
	pools
	rests   turns.Rests[*account] // whose large calls may not start now
	changed sync.Cond             // signalled when there may be a turn to take, or none is any more
	closed  bool
	current *sender // whose call is being handled
}

func newQueue(c *Conn, accountOf func(string) (Account, bool)) *queue {
	q := &queue{
		drop: c.drop, refuse: c.answerRefused, blocked: c.backlogged, accountOf: accountOf, limits: c.limits,
		senders: map[string]*sender{}, pools: newPools(),
	}
	q.changed.L = &q.mu
	q.rests = turns.NewRests[*account](q.rested)
	return q
}

// push takes a call in, and handles it where that is quick and nobody has to wait for it. It answers, instead of a
// verdict, the limit that the call would exceed, and has then not taken it. Unless owned, the call's body may be
// reused when push returns. Only one goroutine pushes.
func (q *queue) push(c *Call, owned bool) (exceeded string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	alone := q.free() && q.ready.Empty()
	s, exceeded := q.admit(c)
	if exceeded != "" {
		return exceeded
	}
	if alone {
		q.next(&q.ready, nil)
	}
	// Still waiting: it gets a body of its own before anybody else can see it.
	if n := len(s.calls); !owned && n > 0 && s.calls[n-1] == c {
		c.Body = bytes.Clone(c.Body)
	}
	q.tell()
	return ""
}

// free tells whether a turn may be taken.
func (q *queue) free() bool { return !q.running && !q.closed && !q.blocked() }

// tell has run take the turns that there are.
func (q *queue) tell() {
	if q.running {
		return
	}
	_, found := q.large.Find(q.awake)
	if found || !q.ready.Empty() {
		q.changed.Broadcast()
	}
}

// admit appends c to its sender's calls unless that exceeds a limit.
func (q *queue) admit(c *Call) (s *sender, exceeded string) {
	s, exceeded = q.room(c)
	if exceeded != "" {
		return nil, exceeded
	}
	s.calls = append(s.calls, c)
	s.count(c, 1)
	if len(s.calls) == 1 {
		q.enqueue(s)
	}
	return s, ""
}

// enqueue gives s a turn. It may be known only now who answers for it.
func (q *queue) enqueue(s *sender) {
	if s.account.key == Unknown {
		q.leave(s)
		q.join(s)
		s.early = true
	}
	s.state = ready
	if s.calls[0].size > quickCall {
		q.large.Add(s.account, s)
	} else {
		q.ready.Add(s.account, s)
	}
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
		alone := q.free() && q.ready.Empty()
		q.enqueue(s)
		if alone {
			q.next(&q.ready, nil)
		}
	case s.state == handled:
		s.state = woken
	}
	q.tell()
}

// resume takes turns again after blocked may have changed.
func (q *queue) resume() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.tell()
}

// run takes the turns that nobody took at once, until clear: quick and large calls by turns.
func (q *queue) run() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for !q.closed {
		quick := q.free() && q.next(&q.ready, nil)
		large := q.free() && q.next(&q.large, q.awake)
		if !quick && !large {
			q.changed.Wait()
		}
	}
}

// awake tells whether a large call of s may start.
func (q *queue) awake(s *sender) bool { return !q.rests.Resting(s.account) }

// rested takes turns again when an account has rested.
func (q *queue) rested() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.closed {
		q.rests.End()
		q.tell()
	}
}

// next takes the next turn of those in a list who may, if there is one. Nobody else may be taking one. It is called,
// and returns, with mu held.
func (q *queue) next(list *turns.List[*account, *sender], may func(*sender) bool) bool {
	s, found := list.Next(may)
	if !found {
		return false
	}
	q.running = true
	q.turn(s)
	q.running = false
	if q.closed {
		q.changed.Broadcast()
	}
	return true
}

// turn handles the first call of s, without mu.
func (q *queue) turn(s *sender) {
	s.state, q.current = handled, s
	c := s.calls[0]
	exceeded := q.late(s)
	q.mu.Unlock()
	began := time.Now()
	verdict := Accepted
	if exceeded == "" {
		verdict = q.handle(c)
	} else {
		q.refuse(c, exceeded)
	}
	q.mu.Lock()
	q.current = nil
	if c.size > quickCall && s.account.bytes > calm {
		q.rests.Begin(s.account, pace*time.Since(began))
	}
	left := s.left
	s.left = false
	switch {
	case verdict == Accepted:
		q.finish(s, c)
	case left:
		q.drop(c)
		q.finish(s, c)
	case s.state == woken:
		q.enqueue(s)
	default:
		s.state = waiting
	}
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
// handled right now is not taken back, but dropped if it is told Later: no Wake may come any more.
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
	q.rests.Stop()
	q.changed.Broadcast()
	for q.running {
		q.changed.Wait()
	}
	for _, s := range q.senders {
		q.discard(s)
	}
}

// discard drops all calls of s but one that is being handled.
func (q *queue) discard(s *sender) {
	keep := 0
	if s == q.current {
		keep, s.left = 1, true
	}
	for _, c := range s.calls[keep:] {
		s.count(c, -1)
		q.drop(c)
	}
	s.calls = slices.Delete(s.calls, keep, len(s.calls))
	if keep == 0 {
		q.ready.Remove(s)
		q.large.Remove(s)
		q.leave(s)
		delete(q.senders, s.name)
	}
}
