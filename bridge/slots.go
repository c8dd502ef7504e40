package bridge

import (
	"slices"
	"sync"
)

const (
	// maxCommands is how many commands of callers may be in flight: QEMU stops reading
	// a monitor with 8 waiting (QMP_REQ_QUEUE_LEN_MAX in its monitor/qmp.c).
	maxCommands = 7
	// maxCommandsPerSender leaves the others room.
	maxCommandsPerSender = 4
	// maxUrgent is how many commands of callers may be in flight out of band, past the
	// others: they are for a QEMU that is stuck, and then stay there.
	maxUrgent          = 8
	maxUrgentPerSender = 2
)

// slots hands out the places that callers' commands may take in QEMU's queue. Those who
// found none get them in the order in which they asked, and since only the first
// waiting call of a sender asks, senders take turns.
type slots struct {
	wake      func(sender string) // called when a sender that found none has got one
	most      int                 // of all senders
	perSender int

	mu      sync.Mutex     // guards all below; held for a few steps, never while waking
	used    int            // taken or reserved
	taken   map[string]int // by sender
	granted map[string]bool
	waiting []string
}

func newSlots(most, perSender int, wake func(string)) *slots {
	return &slots{wake: wake, most: most, perSender: perSender, taken: map[string]int{}, granted: map[string]bool{}}
}

// take takes a slot for the sender, or notes that it waits for one.
func (s *slots) take(sender string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.granted[sender] {
		delete(s.granted, sender)
		return true
	}
	if slices.Contains(s.waiting, sender) {
		return false
	}
	if s.used < s.most && s.taken[sender] < s.perSender {
		s.reserve(sender)
		return true
	}
	s.waiting = append(s.waiting, sender)
	return false
}

func (s *slots) reserve(sender string) {
	s.used++
	s.taken[sender]++
}

// free gives a slot back, and passes it to who has waited longest.
func (s *slots) free(sender string) {
	s.mu.Lock()
	s.used--
	if s.taken[sender]--; s.taken[sender] == 0 {
		delete(s.taken, sender)
	}
	next, found := s.grant()
	s.mu.Unlock()
	if found {
		s.wake(next)
	}
}

// grant reserves a free slot for the first waiting sender that may have one.
func (s *slots) grant() (sender string, found bool) {
	if s.used >= s.most {
		return "", false
	}
	for i, w := range s.waiting {
		if s.taken[w] < s.perSender {
			s.waiting = slices.Delete(s.waiting, i, i+1)
			s.granted[w] = true
			s.reserve(w)
			return w, true
		}
	}
	return "", false
}

// forget takes a sender that has left, or does not want it any more, off the waiting
// list, and gives back what it was granted and has not taken.
func (s *slots) forget(sender string) {
	s.mu.Lock()
	if i := slices.Index(s.waiting, sender); i >= 0 {
		s.waiting = slices.Delete(s.waiting, i, i+1)
	}
	granted := s.granted[sender]
	delete(s.granted, sender)
	s.mu.Unlock()
	if granted {
		s.free(sender)
	}
}
