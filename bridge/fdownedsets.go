package bridge

import (
	"errors"
	"strings"

	"qmp-dbus-bridge/qmp"
)

// beginOwned notes that a caller adds a descriptor to a set: to that with the number that it gives, or to a new one.
func (s *fdsets) beginOwned(monitor *qmp.Conn, c claim, number *int64) (id int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var set *fdset
	if number != nil {
		id = *number
		set = s.sets[id]
	}
	switch {
	case set != nil && !set.isOf(c.sender):
		return 0, failuref(errAccessDenied, "add-fd.fdset-id: the set %d is another's; leave the number out for a new one", id)
	case !s.taken.may(c):
		return 0, failuref(errLimits, "QEMU has too many descriptors by add-fd, of yours (%d), your user's or all callers'; remove some (remove-fd)", ownedFDs.sender)
	case set == nil:
		if err := s.room(monitor); err != nil {
			return 0, err
		}
		if number == nil {
			id = s.choose()
		}
		set = &fdset{owner: &c}
		s.sets[id], s.used = set, true
	}
	set.fds++
	set.onWay++
	s.taken.count(*set.owner, 1)
	return id, nil
}

// beginRemoval notes that a caller removes descriptors of a set. known is false of a set that QEMU has from elsewhere.
func (s *fdsets) beginRemoval(c claim, id int64) (known bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	set := s.sets[id]
	switch {
	case set == nil:
		return false, nil
	case !set.isOf(c.sender):
		return true, failuref(errAccessDenied, "remove-fd.fdset-id: the set %d is another's", id)
	}
	set.onWay++
	return true, nil
}

// settle takes in that a command that changes a set of a caller's has been answered, by which it has so many descriptors less. stays says
// that QEMU keeps those.
func (s *fdsets) settle(monitor *qmp.Conn, id int64, less int, stays bool) {
	s.mu.Lock()
	set := s.sets[id]
	less = min(less, set.fds)
	set.onWay--
	set.fds -= less
	s.taken.count(*set.owner, -less)
	if stays {
		s.unremoved += less
	}
	last := s.mayEnd(id, set)
	s.mu.Unlock()
	if last {
		s.end(monitor, id)
	}
}

// mayEnd forgets a set of a caller's that is empty; true if it is not, and nobody's any more. The lock is held.
func (s *fdsets) mayEnd(id int64, set *fdset) (remove bool) {
	switch {
	case set.onWay > 0:
	case set.fds == 0:
		s.delete(id, set)
	case set.orphan:
		set.onWay++
		return true
	}
	return false
}

// end has QEMU remove what an owner has left behind, and forgets it then: until that, nobody can add to a set of this number. Where there is no
// QEMU, or it goes, sweep does that when it has been reached again.
func (s *fdsets) end(monitor *qmp.Conn, id int64) {
	if monitor == nil {
		s.leave(id)
		return
	}
	monitor.Start(removeSet(id), func(reply qmp.Reply) {
		if errors.Is(reply.Err, qmp.ErrClosed) {
			s.leave(id)
			return
		}
		s.settle(monitor, id, maxFDSets, reply.Err == nil && s.keepsRemoved(monitor))
	})
}

// leave leaves one to sweep.
func (s *fdsets) leave(id int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sets[id].onWay--
}

// delete forgets a set. The lock is held.
func (s *fdsets) delete(id int64, set *fdset) {
	if set.owner != nil {
		s.taken.count(*set.owner, -set.fds)
	}
	delete(s.sets, id)
}

// forget has QEMU remove those of a caller that has left.
func (s *fdsets) forget(monitor *qmp.Conn, owner string) {
	s.mu.Lock()
	var left []int64
	for id, set := range s.sets {
		if !set.isOf(owner) {
			continue
		}
		set.orphan = true
		if s.mayEnd(id, set) {
			left = append(left, id)
		}
	}
	s.mu.Unlock()
	for _, id := range left {
		s.end(monitor, id)
	}
}

// opaque is that of a caller's own descriptor: the tag, and behind it what the caller has given, if anything.
func (s *fdsets) opaque(given *string) string {
	if given == nil {
		return s.tag
	}
	return s.tag + ":" + *given
}

// isTagged tells whether an opaque is one of those.
func (s *fdsets) isTagged(opaque string) bool {
	return opaque == s.tag || strings.HasPrefix(opaque, s.tag+":")
}
