package endpoint

// Account is who answers for a sender: the user who opened the connection.
type Account int64

// Unknown stands for the user of a sender that is not known yet. All such senders share an account.
const Unknown Account = -1

// account is one with senders in the queue.
type account struct {
	key Account
	pool
}

// accounts are those with senders in the queue. The zero value has none.
type accounts struct {
	byKey map[Account]*account
	idle  *account // one without senders, to save making it anew for each call
}

// of returns the account that a key stands for.
func (as *accounts) of(key Account) *account {
	if a := as.byKey[key]; a != nil {
		return a
	}
	a := as.fresh()
	a.key = key
	if as.byKey == nil {
		as.byKey = map[Account]*account{}
	}
	as.byKey[key] = a
	return a
}

func (as *accounts) fresh() *account {
	a := as.idle
	if a == nil {
		a = &account{pool: pool{share: accountShare, whose: " of your user"}}
	}
	as.idle = nil
	return a
}

// join has s answered for by its account, with the calls that it has.
func (q *queue) join(s *sender) {
	admin := true
	if q.accountOf == nil {
		s.account = q.fresh() // one of its own, in no table
		s.account.key = 0
	} else {
		var key Account
		key, admin = q.accountOf(s.name)
		s.account = q.of(key)
	}
	s.draws = q.drawnBy(s.draws[:0], s.account, admin)
	s.charge(s.load, 1)
}

// leave is the opposite of join.
func (q *queue) leave(s *sender) {
	a := s.account
	s.charge(s.load, -1)
	s.account = nil
	if a.senders > 0 {
		return
	}
	if q.accountOf != nil {
		delete(q.byKey, a.key)
	}
	q.rests.Forget(a)
	q.idle = a
}

// charge adds to what is drawn from each pool of s, n = 1, or takes it off, n = -1.
func (s *sender) charge(l load, n int) {
	for _, p := range s.draws {
		p.add(l, n)
	}
}

// overdraws tells which pool of s would exceed its share with more, if any.
func (s *sender) overdraws(more load, limits *Limits) string {
	for _, p := range s.draws {
		if exceeded := p.exceeds(more, limits); exceeded != "" {
			return exceeded
		}
	}
	return ""
}
