package bridge

import (
	"sync"

	"qmp-dbus-bridge/bridge/quota"
	"qmp-dbus-bridge/bridge/turns"
)

var (
	// inTurn are those of commands that QEMU executes in turn. It stops reading a monitor with 8
	// waiting (QMP_REQ_QUEUE_LEN_MAX in its monitor/qmp.c), and one is left to the bridge's own.
	inTurn = quota.Places{Sender: maxCommandsPerSender, User: 5, Users: 6, All: 7}
	// outOfBand are those past the others: they are for a QEMU that is stuck, and then stay there.
	outOfBand = quota.Places{Sender: 2, User: 4, Users: 6, All: 8}
)

// maxCommandsPerSender is the default of Limits.Commands.
const maxCommandsPerSender = 4

// slots hands out the places that callers' commands may take in QEMU's queue. Those who
// found none get them by turns of users, and of the senders of each, since only the first
// waiting call of a sender asks.
type slots struct {
	wake func(sender string) // called when a sender that found none has got one

	mu      sync.Mutex  // guards all below; held for a few steps, never while waking
	taken   quota.Taken // or reserved
	granted map[string]quota.Claim
	waiting turns.List[uint32, quota.Claim]
}

func newSlots(most quota.Places, wake func(string)) *slots {
	return &slots{wake: wake, taken: quota.NewTaken(most), granted: map[string]quota.Claim{}}
}

// take takes a place for c, or notes that it waits for one. What was taken, for free, is c as it
// is then.
func (s *slots) take(c *quota.Claim) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if granted, found := s.granted[c.Sender]; found {
		delete(s.granted, c.Sender)
		*c = granted
		return true
	}
	if s.waits(c.Sender) {
		return false
	}
	if s.taken.May(*c) {
		s.taken.Count(*c, 1)
		return true
	}
	s.waiting.Add(c.UID, *c)
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

func (s *slots) find(sender string) (quota.Claim, bool) {
	return s.waiting.Find(func(c quota.Claim) bool { return c.Sender == sender })
}

// free gives a place back, and passes it to whose turn it is.
func (s *slots) free(c quota.Claim) {
	s.mu.Lock()
	s.taken.Count(c, -1)
	next, found := s.waiting.Next(s.taken.May)
	if found {
		s.granted[next.Sender] = next
		s.taken.Count(next, 1)
	}
	s.mu.Unlock()
	if found {
		s.wake(next.Sender)
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
