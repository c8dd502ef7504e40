package fdpass

import (
	"encoding/json"
	"slices"

	"qmp-dbus-bridge/bridge/quota"
	"qmp-dbus-bridge/qmp"
)

// ownedSet is a set of a caller's own, by add-fd.
type ownedSet struct {
	claim  quota.Claim
	fds    []int64 // that QEMU says it has added and not that it has removed, by its numbers; there may be others of elsewhere
	adding int     // that it has not answered about; ownPlaces counts these and fds
	onWay  int     // commands under way that change that
	orphan bool    // the caller has left
}

func (set *ownedSet) isOf(owner string) bool { return set.claim.Sender == owner && !set.orphan }

// beginOwned notes that a caller adds a descriptor to a set: to that with the number that it gives, or to a new one.
func (s *sets) beginOwned(monitor *qmp.Conn, c quota.Claim, number *int64) (id int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var set *ownedSet
	others := false
	if number != nil {
		id = *number
		set, others = s.find(c.Sender, id)
	}
	switch {
	case others:
		return 0, refusef(ErrOthers, "add-fd.fdset-id: the set %d is another's; leave the number out for a new one", id)
	case !s.taken.May(c):
		return 0, refusef(ErrLimit, "of the descriptors that QEMU may have by add-fd, %s, which is the most; remove some (remove-fd)", s.taken.FullFor(c))
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
		set = &ownedSet{claim: c}
		s.owned[id], s.used = set, true
	}
	set.adding++
	set.onWay++
	s.taken.Count(set.claim, 1)
	return id, nil
}

// beginRemoval notes that a caller removes descriptors of a set. known is false of a set that QEMU has from elsewhere.
func (s *sets) beginRemoval(c quota.Claim, id int64) (known bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	set, others := s.find(c.Sender, id)
	switch {
	case others:
		return true, refusef(ErrOthers, "remove-fd.fdset-id: the set %d is another's", id)
	case set == nil:
		return false, nil
	}
	set.onWay++
	return true, nil
}

// added takes in what has become of a descriptor that was to be added on that connection. What QEMU may have without having said so, sweep
// finds.
func (s *sets) added(monitor *qmp.Conn, id int64, reply qmp.Reply) {
	s.settle(monitor, id, reply.Err, func(set *ownedSet) {
		set.adding--
		if reply.Err != nil {
			s.taken.Count(set.claim, -1)
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
func (s *sets) removed(monitor *qmp.Conn, id int64, fd *int64, err error) {
	stays := err == nil && s.keepsRemoved(monitor)
	s.settle(monitor, id, err, func(set *ownedSet) {
		before := len(set.fds)
		switch there := fdIndex(set.fds, fd); {
		case err != nil && !(set.orphan && isTold(err)): // they are there still; of an orphan they are not, says QEMU
		case fd == nil:
			set.fds = nil
		case there >= 0:
			set.fds = slices.Delete(set.fds, there, there+1)
		}
		less := before - len(set.fds)
		s.taken.Count(set.claim, -less)
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
func (s *sets) settle(monitor *qmp.Conn, id int64, err error, change func(*ownedSet)) {
	s.mu.Lock()
	set := s.owned[id]
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
func (s *sets) mayEnd(id int64, set *ownedSet) (on *qmp.Conn, left []int64) {
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
func (s *sets) end(on *qmp.Conn, id int64, left []int64) {
	for _, fd := range left {
		on.Start(removeOne(id, fd), func(reply qmp.Reply) { s.removed(on, id, &fd, reply.Err) })
	}
}

// delete forgets a set of a caller's. The lock is held.
func (s *sets) delete(id int64, set *ownedSet) {
	s.taken.Count(set.claim, -len(set.fds)-set.adding)
	delete(s.owned, id)
}

// forget has QEMU remove those of a caller that has left. Where there is no QEMU, sweep does when it has been reached again.
func (s *sets) forget(owner string) {
	s.mu.Lock()
	left := map[int64][]int64{}
	var on *qmp.Conn
	for id, set := range s.owned {
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
