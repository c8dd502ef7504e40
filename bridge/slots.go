package bridge

import (
	"sync"

	"qmp-dbus-bridge/bridge/turns"
)

// places is how many of the places for commands some may have. Each number is below the next
// one, so that whoever has got all that they may leave one for somebody else.
type places struct {
	sender int // one sender
	user   int // all senders of a user that is no administrator
	users  int // all users that are none
	all    int
}

var (
	// inTurn are those of commands that QEMU executes in turn. It stops reading a monitor with 8
	// waiting (QMP_REQ_QUEUE_LEN_MAX in its monitor/qmp.c), and one is left to the bridge's own.
	inTurn = places{sender: maxCommandsPerSender, user: 5, users: 6, all: 7}
	// outOfBand are those past the others: they are for a QEMU that is stuck, and then stay there.
	outOfBand = places{sender: 2, user: 4, users: 6, all: 8}
)

// maxCommandsPerSender is the default of Limits.Commands.
const maxCommandsPerSender = 4

// forSender is p with another number for one sender.
func (p places) forSender(n int) places {
	p.sender = n
	return p
}

// claim is who wants a place, or has it.
type claim struct {
	sender string
	uid    uint32
	admin  bool
}

// slots hands out the places that callers' commands may take in QEMU's queue. Those who
// found none get them by turns of users, and of the senders of each, since only the first
// waiting call of a sender asks.
type slots struct {
	wake func(sender string) // called when a sender that found none has got one
	most places

	mu      sync.Mutex // guards all below; held for a few steps, never while waking
	all     int        // taken or reserved
	users   int        // of those, by who is no administrator
	sender  map[string]int
	user    map[uint32]int
	granted map[string]claim
	waiting turns.List[uint32, claim]
}

func newSlots(most places, wake func(string)) *slots {
	return &slots{
		wake: wake, most: most,
		sender: map[string]int{}, user: map[uint32]int{}, granted: map[string]claim{},
	}
}

// take takes a place for c, or notes that it waits for one. What was taken, for free, is c as it
// is then.
func (s *slots) take(c *claim) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if granted, found := s.granted[c.sender]; found {
		delete(s.granted, c.sender)
		*c = granted
		return true
	}
	if s.waits(c.sender) {
		return false
	}
	if s.may(*c) {
		s.count(*c, 1)
		return true
	}
	s.waiting.Add(c.uid, *c)
	return false
}

// waits tells whether a sender is on the waiting list.
func (s *slots) waits(sender string) bool {
	if s.waiting.Empty() { // the usual case, which makes no closure
		return false
	}
	_, found := s.find(sender)
	return found
}

func (s *slots) find(sender string) (claim, bool) {
	return s.waiting.Find(func(c claim) bool { return c.sender == sender })
}

// may tells whether there is a place for c.
func (s *slots) may(c claim) bool {
	return s.all < s.most.all && s.sender[c.sender] < s.most.sender &&
		(c.admin || s.users < s.most.users && s.user[c.uid] < s.most.user)
}

// count adds a place of c, n = 1, or takes it off, n = -1.
func (s *slots) count(c claim, n int) {
	s.all += n
	adjust(s.sender, c.sender, n)
	if !c.admin {
		s.users += n
		adjust(s.user, c.uid, n)
	}
}

// adjust adds n to what counts has for key, and keeps no zeros.
func adjust[K comparable](counts map[K]int, key K, n int) {
	if counts[key] += n; counts[key] == 0 {
		delete(counts, key)
	}
}

// free gives a place back, and passes it to whose turn it is.
func (s *slots) free(c claim) {
	s.mu.Lock()
	s.count(c, -1)
	next, found := s.waiting.Next(s.may)
	if found {
		s.granted[next.sender] = next
		s.count(next, 1)
	}
	s.mu.Unlock()
	if found {
		s.wake(next.sender)
	}
}

// forget takes a sender that has left, or does not want it any more, off the waiting
// list, and gives back what it was granted and has not taken.
func (s *slots) forget(sender string) {
	s.mu.Lock()
	if s.waits(sender) {
		c, _ := s.find(sender)
		s.waiting.Remove(c)
	}
	granted, found := s.granted[sender]
	delete(s.granted, sender)
	s.mu.Unlock()
	if found {
		s.free(granted)
	}
}
