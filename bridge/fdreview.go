package bridge

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"

	"qmp-dbus-bridge/bridge/fdarg"
	"qmp-dbus-bridge/qmp"
)

// endsUse are the commands and events after which block nodes or jobs may be gone that were there before.
var endsUse = map[string]bool{
	"blockdev-del": true, "blockdev-reopen": true, "x-blockdev-change": true, "blockdev-change-medium": true, "blockdev-remove-medium": true,
	"eject": true, "change-backing-file": true, "transaction": true, "human-monitor-command": true, "block-export-del": true, "nbd-server-stop": true,
	"nbd-server-remove": true, "netdev_del": true, "object-del": true, "qom-set": true, "job-dismiss": true, "block-job-dismiss": true,
	"block-job-complete": true, "job-complete": true, "job-finalize": true, "block-job-finalize": true,
	"blockdev-create": true, // its job may be at an end when it has been answered

	"JOB_STATUS_CHANGE": true, "BLOCK_JOB_COMPLETED": true, "BLOCK_JOB_CANCELLED": true, "DEVICE_DELETED": true, "BLOCK_EXPORT_DELETED": true,
	"DEVICE_TRAY_MOVED": true,
}

// heard takes in that an event came, or that a command was executed.
func (s *fdsets) heard(monitor *qmp.Conn, name string) {
	switch {
	case monitor == nil:
	case endsUse[name]:
		s.review(monitor)
	case name == "RESUME":
		s.resumed(monitor)
	}
}

// review removes those sets that were kept for what is not there any more.
func (s *fdsets) review(monitor *qmp.Conn) {
	kept := s.toReview()
	if kept == nil {
		return
	}
	monitor.Start(qmp.Command{Name: "query-named-block-nodes", Arguments: []byte(`{"flat":true}`)}, func(nodes qmp.Reply) {
		inUse := setsIn(nodes.Return)
		monitor.Start(qmp.Command{Name: "query-jobs"}, func(jobs qmp.Reply) {
			if nodes.Err == nil && jobs.Err == nil { // else it is not known
				going := goingOn(jobs.Return)
				kept = slices.DeleteFunc(kept, func(k keptSet) bool { return inUse[k.id] || k.job != "" && going[k.job] })
				for _, k := range kept {
					s.remove(monitor, k.id, func() {})
				}
			}
			if s.reviewed() {
				s.review(monitor)
			}
		})
	})
}

// keptSet is a set that is kept, and for which job, if for one.
type keptSet struct {
	id  int64
	job string
}

// toReview lists those that are kept, nil if there are none, or if QEMU is being asked already.
func (s *fdsets) toReview() (kept []keptSet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, set := range s.sets {
		if set.kept {
			kept = append(kept, keptSet{id, set.job})
		}
	}
	if kept != nil && s.reviewing {
		s.again = true
		return nil
	}
	s.reviewing = kept != nil
	return kept
}

// reviewed ends a review, and tells whether there is to be another.
func (s *fdsets) reviewed() (again bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	again = s.again
	s.reviewing, s.again = false, false
	return again
}

// setsIn finds the sets by whose names files are open: those that a reply to query-named-block-nodes names, in whatever.
func setsIn(nodes []byte) map[int64]bool {
	sets := map[int64]bool{}
	for found := true; ; {
		if _, nodes, found = bytes.Cut(nodes, []byte(fdarg.SetPrefix)); !found {
			return sets
		}
		digits := nodes[:len(nodes)-len(bytes.TrimLeft(nodes, "0123456789"))]
		if id, err := strconv.ParseInt(string(digits), 10, 64); err == nil {
			sets[id] = true
		}
	}
}

// goingOn are the jobs in a reply to query-jobs that are not at an end.
func goingOn(jobs []byte) map[string]bool {
	var told []struct{ ID, Status string }
	_ = json.Unmarshal(jobs, &told) // what it is not is none
	going := map[string]bool{}
	for _, job := range told {
		going[job.ID] = job.Status != jobConcluded && job.Status != "null"
	}
	return going
}

// resumed has QEMU remove what it kept only because the guest did not run.
func (s *fdsets) resumed(monitor *qmp.Conn) {
	s.mu.Lock()
	keeps := s.unremoved > 0
	s.mu.Unlock()
	if keeps {
		s.sweep(monitor, func(*qmp.Conn) bool { return false })
	}
}

// gather takes up a QEMU that has been reached, which may be the same as before.
func (s *fdsets) gather(monitor *qmp.Conn) {
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
func (s *fdsets) sweep(monitor *qmp.Conn, keeps func(*qmp.Conn) bool) {
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
func (s *fdsets) reconcile(told []byte, stays bool) (removals []qmp.Command, orphans []orphaned) {
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
			if s.sets[set.ID] == nil {
				removals = append(removals, removeOne(set.ID, one.FD))
			}
		}
	}
	for id, set := range s.sets {
		switch settled := set.kept || set.owner != nil && set.onWay == 0; {
		case settled && there[id] == nil:
			s.delete(id, set)
		case settled && set.orphan:
			s.taken.count(*set.owner, len(there[id])-len(set.fds))
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
