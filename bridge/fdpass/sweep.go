package fdpass

import (
	"encoding/json"

	"qmp-dbus-bridge/qmp"
)

// resumed has QEMU remove what it kept only because the guest did not run.
func (s *sets) resumed(monitor *qmp.Conn) {
	s.mu.Lock()
	keeps := s.unremoved > 0
	s.mu.Unlock()
	if keeps {
		s.sweep(monitor, func(*qmp.Conn) bool { return false })
	}
}

// gather takes up a QEMU that has been reached, which may be the same as before.
func (s *sets) gather(monitor *qmp.Conn) {
	s.mu.Lock()
	s.monitor = monitor
	used := s.used
	s.mu.Unlock()
	if used {
		s.sweep(monitor, s.keepsRemoved)
		s.review(monitor)
	}
}

// sweep removes the descriptors in sets that QEMU has from here and nobody needs, and forgets those that it has not any more. keeps tells
// whether QEMU keeps what is removed.
func (s *sets) sweep(monitor *qmp.Conn, keeps func(*qmp.Conn) bool) {
	monitor.Start(qmp.Command{Name: "query-fdsets"}, func(reply qmp.Reply) {
		if reply.Err != nil {
			return
		}
		removals, orphans := s.reconcile(reply.Return, keeps(monitor))
		for _, command := range removals {
			monitor.Start(command, nil)
		}
		for _, o := range orphans {
			s.end(o.on, o.id, o.fds)
		}
	})
}

// orphaned is a set that was left behind, and what end does with it.
type orphaned struct {
	on  *qmp.Conn
	id  int64
	fds []int64
}

// reconcile compares what is known with what a reply to query-fdsets tells. It returns what removes descriptors in sets that are not known
// any more, and the sets that were left behind. stays says that QEMU will keep the former nevertheless.
func (s *sets) reconcile(told []byte, stays bool) (removals []qmp.Command, orphans []orphaned) {
	var all []struct {
		ID  int64 `json:"fdset-id"`
		FDs []struct {
			FD     int64  `json:"fd"`
			Opaque string `json:"opaque"`
		} `json:"fds"`
	}
	if json.Unmarshal(told, &all) != nil {
		return nil, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	there := map[int64][]int64{} // those from here
	for _, set := range all {
		there[set.ID] = []int64{}
		for _, one := range set.FDs {
			if !s.isTagged(one.Opaque) {
				continue
			}
			there[set.ID] = append(there[set.ID], one.FD)
			if s.ours[set.ID] == nil && s.owned[set.ID] == nil {
				removals = append(removals, removeOne(set.ID, one.FD))
			}
		}
	}
	for id, set := range s.ours {
		if set.kept && there[id] == nil {
			delete(s.ours, id)
		}
	}
	for id, set := range s.owned {
		switch settled := set.onWay == 0; {
		case settled && there[id] == nil:
			s.delete(id, set)
		case settled && set.orphan:
			s.taken.Count(set.claim, len(there[id])-len(set.fds))
			set.fds = there[id]
			if on, fds := s.mayEnd(id, set); on != nil {
				orphans = append(orphans, orphaned{on, id, fds})
			}
		}
	}
	if s.unremoved = 0; stays {
		s.unremoved = len(removals)
	}
	return removals, orphans
}
