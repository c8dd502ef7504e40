package endpoint

// Account is who answers for a sender: the user who opened the connection.
type Account int64

// Unknown stands for the user of a sender that is not known yet. All such senders share an account.
const Unknown Account = -1

// account is one with senders in the queue.
type account struct {
	key     Account
	senders int
	bytes   int // of their calls that wait
	fds     int // likewise
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
		a = new(account)
	}
	as.idle = nil
	return a
}

// join has s answered for by its account, with the calls that it has.
func (q *queue) join(s *sender) {
	if q.accountOf == nil {
		s.account = q.fresh() // one of its own, in no table
		s.account.key = 0
	} else {
		s.account = q.of(q.accountOf(s.name))
	}
	s.account.senders++
	s.account.bytes += s.bytes
	s.account.fds += s.fds
}

// leave is the opposite of join.
func (q *queue) leave(s *sender) {
	a := s.account
	s.account = nil
	a.senders--
	a.bytes -= s.bytes
	a.fds -= s.fds
	if a.senders > 0 {
		return
	}
	if q.accountOf != nil {
		delete(q.byKey, a.key)
	}
	q.idle = a
}
