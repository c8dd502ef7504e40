package endpoint

// sender is a caller with calls in the queue. queue.mu guards it, and is held by whoever calls what is below.
type sender struct {
	name    string
	account *account
	draws   []*pool // what the calls are counted in
	calls   []*Call // waiting; the first one is being handled where this is queue.current
	load            // of those
	state   senderState
	early   bool // calls were taken before it was known who answers for them
	left    bool // Forget came while its first call was being handled
}

type senderState int

const (
	waiting senderState = iota // its first call was told Later
	ready                      // it is in queue.ready or in queue.large
	handled                    // its first call is being handled
	woken                      // and Wake came meanwhile
)

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

// room finds the sender of c, or the limit that it would exceed with c.
func (q *queue) room(c *Call) (s *sender, exceeded string) {
	s = q.senders[c.Sender]
	if s == nil {
		s = q.newSender(c.Sender)
	}
	if exceeded = q.exceeds(s, c); exceeded != "" && len(s.calls) == 0 {
		q.remove(s)
	}
	return s, exceeded
}

// wouldRefuse tells which limit c would exceed, if any. It takes the lock itself.
func (q *queue) wouldRefuse(c *Call) (exceeded string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	s, exceeded := q.room(c)
	if exceeded == "" && len(s.calls) == 0 {
		q.remove(s)
	}
	return exceeded
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

// late tells which limit calls of s exceed that were taken before it was known who answers for them.
func (q *queue) late(s *sender) (exceeded string) {
	if s.early && s.account.key != Unknown {
		exceeded = s.overdraws(load{}, &q.limits)
		s.early = exceeded != ""
	}
	return exceeded
}

// count adds what c holds, n = 1, or takes it off, n = -1.
func (s *sender) count(c *Call, n int) {
	l := load{bytes: c.size, fds: c.held}
	s.add(l, n)
	s.charge(l, n)
}

// remove takes off a sender that has no calls.
func (q *queue) remove(s *sender) {
	q.leave(s)
	delete(q.senders, s.name)
	q.spare = s
}
