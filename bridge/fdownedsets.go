package bridge

import (
	"encoding/json"
	"slices"
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
		return 0, failuref(errLimits, "of the descriptors that QEMU may have by add-fd, %s, which is the most; remove some (remove-fd)", s.taken.fullFor(c))
	}
	more := 0
	if set == nil {
		more = 1
	}
	if err := s.room(monitor, more); err != nil {
		return 0, err
	}
	if set == nil {
		if number == nil {
			id = s.choose()
		}
		set = &fdset{owner: &c}
		s.sets[id], s.used = set, true
	}
	set.adding++
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

// added takes in what has become of a descriptor that was to be added on that connection. What QEMU may have without having said so, sweep
// finds.
func (s *fdsets) added(monitor *qmp.Conn, id int64, reply qmp.Reply) {
	s.settle(monitor, id, reply.Err, func(set *fdset) {
		set.adding--
		if reply.Err != nil {
			s.taken.count(*set.owner, -1)
			return
		}
		var told struct {
			FD int64 `json:"fd"`
		}
		_ = json.Unmarshal(reply.Return, &told) // what QEMU does not tell it can't be told to remove
		set.fds = append(set.fds, told.FD)
	})
}

// removed takes in what has become of a removal on that connection: of one descriptor, or with nil of all that the set had. QEMU answers in
// turn, so those are the ones that it had said it added before.
func (s *fdsets) removed(monitor *qmp.Conn, id int64, fd *int64, err error) {
	stays := err == nil && s.keepsRemoved(monitor)
	s.settle(monitor, id, err, func(set *fdset) {
		before := len(set.fds)
		switch there := fdIndex(set.fds, fd); {
		case err != nil && !(set.orphan && isTold(err)): // they are there still; of an orphan they are not, says QEMU
		case fd == nil:
			set.fds = nil
		case there >= 0:
			set.fds = slices.Delete(set.fds, there, there+1)
		}
		less := before - len(set.fds)
		s.taken.count(*set.owner, -less)
		if stays {
			s.unremoved += less
		}
	})
}

// fdIndex is where one is, -1 if it is nowhere.
func fdIndex(fds []int64, fd *int64) int {
	if fd == nil {
		return -1
	}
	return slices.Index(fds, *fd)
}

// settle has change take in the answer to a command that changes a set of a caller's.
func (s *fdsets) settle(monitor *qmp.Conn, id int64, err error, change func(*fdset)) {
	s.mu.Lock()
	set := s.sets[id]
	set.onWay--
	change(set)
	var on *qmp.Conn
	var left []int64
	if isTold(err) || monitor != s.monitor || len(set.fds) == 0 { // else it is sweep that tries again
		on, left = s.mayEnd(id, set)
	}
	s.mu.Unlock()
	s.end(on, id, left)
}

// mayEnd forgets a set of a caller's that is empty. Of one that is not, and nobody's any more, it returns what is to be removed, and by
// which connection: the next thing is end. The lock is held.
func (s *fdsets) mayEnd(id int64, set *fdset) (on *qmp.Conn, left []int64) {
	switch {
	case set.onWay > 0:
	case len(set.fds) == 0:
		s.delete(id, set)
	case set.orphan && s.monitor != nil:
		set.onWay += len(set.fds)
		return s.monitor, slices.Clone(set.fds)
	}
	return nil, nil
}

// end has QEMU remove what mayEnd has found, one by one: the set may have others, of elsewhere.
func (s *fdsets) end(on *qmp.Conn, id int64, left []int64) {
	for _, fd := range left {
		on.Start(removeOne(id, fd), func(reply qmp.Reply) { s.removed(on, id, &fd, reply.Err) })
	}
}

// delete forgets a set. The lock is held.
func (s *fdsets) delete(id int64, set *fdset) {
	if set.owner != nil {
		s.taken.count(*set.owner, -len(set.fds)-set.adding)
	}
	delete(s.sets, id)
}

// forget has QEMU remove those of a caller that has left. Where there is no QEMU, sweep does when it has been reached again.
func (s *fdsets) forget(owner string) {
	s.mu.Lock()
	left := map[int64][]int64{}
	var on *qmp.Conn
	for id, set := range s.sets {
		if !set.isOf(owner) {
			continue
		}
		set.orphan = true
		if by, fds := s.mayEnd(id, set); by != nil {
			on, left[id] = by, fds
		}
	}
	s.mu.Unlock()
	for id, fds := range left {
		s.end(on, id, fds)
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
