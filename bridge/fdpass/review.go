package fdpass

import (
	"bytes"
	"encoding/json"
	"strconv"

	"qmp-dbus-bridge/bridge/fdarg"
	"qmp-dbus-bridge/bridge/inventory"
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
func (s *sets) heard(monitor *qmp.Conn, name string) {
	switch {
	case endsUse[name]:
		s.review(monitor)
	case name == "RESUME":
		s.resumed(monitor)
	}
}

// review removes those sets that were kept for what is not there any more.
func (s *sets) review(monitor *qmp.Conn) {
	kept := s.toReview()
	if kept == nil {
		return
	}
	monitor.Start(qmp.Command{Name: "query-named-block-nodes", Arguments: []byte(`{"flat":true}`)}, func(nodes qmp.Reply) {
		inUse := setsIn(nodes.Return)
		monitor.Start(qmp.Command{Name: "query-jobs"}, func(jobs qmp.Reply) {
			if going, known := goingOn(jobs); known && nodes.Err == nil {
				for _, set := range kept {
					if !inUse[set.id] && !(set.job != "" && going[set.job]) {
						set.Remove(monitor, func() {})
					}
				}
			}
			if s.reviewed() {
				s.review(monitor)
			}
		})
	})
}

// toReview lists those that are kept, nil if there are none, or if QEMU is being asked already.
func (s *sets) toReview() (kept []*Set) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, set := range s.ours {
		if set.kept {
			kept = append(kept, set)
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
func (s *sets) reviewed() (again bool) {
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

// goingOn are the jobs in a reply to query-jobs that are not at an end, if it tells.
func goingOn(jobs qmp.Reply) (going map[string]bool, known bool) {
	var told []struct{ ID, Status string }
	if jobs.Err != nil || json.Unmarshal(jobs.Return, &told) != nil {
		return nil, false
	}
	going = map[string]bool{}
	for _, job := range told {
		going[job.ID] = job.Status != inventory.Concluded && job.Status != "null"
	}
	return going, true
}
