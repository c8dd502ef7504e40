package fdpass

import (
	"fmt"
	"strconv"

	"qmp-dbus-bridge/bridge/fdarg"
	"qmp-dbus-bridge/bridge/inventory"
	"qmp-dbus-bridge/qmp"
)

// Set is a set of one descriptor of the bridge's own, which [Holdings.NewSet] makes: for a command, for a screenshot, or for as long as a block
// node or a job needs it. Each ends with Remove or Drop. QEMU 9.1 and later keep it over the end of a connection; it is removed then when
// QEMU has been reached again.
type Set struct {
	of *sets
	id int64

	kept bool   // until nothing needs it
	job  string // for which it is kept, if for one
}

// Name is how QEMU calls the file that it is.
func (s *Set) Name() string { return fdarg.SetPrefix + s.number() }

func (s *Set) number() string { return strconv.FormatInt(s.id, 10) }

// Add gives QEMU the descriptor, which it owns, and calls done with its answer.
func (s *Set) Add(monitor *qmp.Conn, fd int, done func(qmp.Reply)) {
	arguments := fmt.Appendf(nil, `{"fdset-id":%d,"opaque":%q}`, s.id, s.of.tag)
	monitor.Start(qmp.Command{Name: "add-fd", Arguments: arguments, FDs: []int{fd}}, done)
}

// Remove has QEMU remove the set, and calls then. Who has opened a file of it has that still. A QEMU that has gone tells nothing: what it
// still has is removed when it has been reached again.
func (s *Set) Remove(monitor *qmp.Conn, then func()) {
	stays := s.of.keepsRemoved(monitor)
	monitor.Start(qmp.Command{Name: "remove-fd", Arguments: fmt.Appendf(nil, `{"fdset-id":%d}`, s.id)}, func(reply qmp.Reply) {
		s.of.mu.Lock()
		delete(s.of.ours, s.id)
		if reply.Err == nil && stays {
			s.of.unremoved++
		}
		s.of.mu.Unlock()
		then()
	})
}

// Drop forgets a set that QEMU has not got; or, if that is not known because the connection has ended, it is found when QEMU has been
// reached again.
func (s *Set) Drop() {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	delete(s.of.ours, s.id)
}

// keep has a set stay until the block nodes that are of it are gone, or the job, that a command has begun.
func (s *Set) keep(use fdarg.Use, command qmp.Command) {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	s.kept = true
	if use == fdarg.Job {
		s.job = inventory.StartedJob(command.Name, command.Arguments)
	}
}
