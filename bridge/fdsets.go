package bridge

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"sync"

	"qmp-dbus-bridge/bridge/fdarg"
	"qmp-dbus-bridge/bridge/inventory"
	"qmp-dbus-bridge/qmp"
)

// What QEMU may be given in sets of descriptors.
const (
	maxFDSets = 256 // at a time, callers' own among them: each of the bridge's costs QEMU a descriptor, or two for a block node, of the 1024 that it usually may have
	// maxUnremoved is how many descriptors QEMU may keep though they were removed; see keepsRemoved.
	maxUnremoved = 64
)

// fdsets knows the sets of descriptors that the bridge has added to QEMU, for a command, for a screenshot or for as long as a block node
// or a job needs one. Their numbers are the bridge's choice, of those that QEMU does not choose by itself (it takes the lowest): so it is known
// whose a set is before QEMU has it, and nobody can guess the number of another's.
type fdsets struct {
	tag          string // opaque of each, which tells it from those of others
	keepsRemoved func(*qmp.Conn) bool

	mu        sync.Mutex // guards all below; held for a few steps
	monitor   *qmp.Conn  // the one that gather had last, by which QEMU is told to remove what callers have left behind
	sets      map[int64]*fdset
	taken     occupancy // by callers' own
	used      bool      // QEMU was given one at any time
	unremoved int       // that QEMU keeps, though they were removed
	reviewing bool      // QEMU is asked which are in use still
	again     bool      // and is to be asked once more then
}

// fdset is one of them.
type fdset struct {
	kept bool // until nothing needs it
	job  string

	// Of a caller's own, by add-fd.
	owner  *claim  // nil of the bridge's
	fds    []int64 // that QEMU says it has added and not that it has removed, by its numbers; there may be others of elsewhere
	adding int     // that it has not answered about; ownedFDs counts these and fds
	onWay  int     // commands under way that change that
	orphan bool    // the caller has left
}

func newFDSets(keepsRemoved func(*qmp.Conn) bool) *fdsets {
	return &fdsets{tag: "bridge:" + rand.Text(), keepsRemoved: keepsRemoved, sets: map[int64]*fdset{}, taken: newOccupancy(ownedFDs)}
}

// begin chooses the number of a set that is to be added to QEMU.
func (s *fdsets) begin(monitor *qmp.Conn) (id int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.room(monitor, 1); err != nil {
		return 0, err
	}
	id = s.choose()
	s.sets[id], s.used = &fdset{}, true
	return id, nil
}

// room tells whether there may be so many sets more, and another descriptor. The lock is held.
func (s *fdsets) room(monitor *qmp.Conn, more int) error {
	switch {
	case len(s.sets)+more > maxFDSets:
		return failuref(errLimits, "QEMU has %d sets of descriptors from here, and %d is the most: delete block nodes that were added with one", len(s.sets), maxFDSets)
	case s.unremoved >= maxUnremoved:
		return failuref(errLimits, "QEMU %s keeps descriptors that are not needed any more until the guest runs, and has %d: resume the guest", monitor.Version(), s.unremoved)
	}
	return nil
}

// choose chooses a number that no set has. The lock is held.
func (s *fdsets) choose() (id int64) {
	for id == 0 || s.sets[id] != nil {
		id = randomSet()
	}
	return id
}

// randomSet is a number from 2^30 on, below the 2^31 that is QEMU's limit for the name of a set.
func randomSet() int64 {
	var random [4]byte
	_, _ = rand.Read(random[:]) // never fails
	return 1<<30 | int64(binary.LittleEndian.Uint32(random[:])>>2)
}

// mayName tells whether a caller may name a set: not one of the bridge's or of another caller's. Those that QEMU has from elsewhere are not
// known here.
func (s *fdsets) mayName(owner string, id int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if set := s.sets[id]; set != nil && !set.isOf(owner) {
		return fmt.Errorf("the set %d of descriptors is another's", id)
	}
	return nil
}

func (set *fdset) isOf(owner string) bool {
	return set.owner != nil && set.owner.sender == owner && !set.orphan
}

// add is the command that adds a set of one descriptor.
func (s *fdsets) add(id int64, fd int) qmp.Command {
	return qmp.Command{Name: "add-fd", Arguments: fmt.Appendf(nil, `{"fdset-id":%d,"opaque":%q}`, id, s.tag), FDs: []int{fd}}
}

// removeSet is the command that removes one. Who has opened a file of it has that still.
func removeSet(id int64) qmp.Command {
	return qmp.Command{Name: "remove-fd", Arguments: fmt.Appendf(nil, `{"fdset-id":%d}`, id)}
}

// removeOne is the command that removes one descriptor of a set.
func removeOne(id, fd int64) qmp.Command {
	return qmp.Command{Name: "remove-fd", Arguments: fmt.Appendf(nil, `{"fdset-id":%d,"fd":%d}`, id, fd)}
}

// keep has a set stay until the block nodes that are of it are gone, or the job, that a command has begun.
func (s *fdsets) keep(id int64, use fdarg.Use, command qmp.Command) {
	kept := fdset{kept: true}
	if use == fdarg.Job {
		kept.job = inventory.StartedJob(command.Name, command.Arguments)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sets[id] = &kept
}

// remove has QEMU remove a set, and calls then. A QEMU that has gone tells nothing: what it still has, sweep removes.
func (s *fdsets) remove(monitor *qmp.Conn, id int64, then func()) {
	stays := s.keepsRemoved(monitor)
	monitor.Start(removeSet(id), func(reply qmp.Reply) {
		s.mu.Lock()
		delete(s.sets, id)
		if reply.Err == nil && stays {
			s.unremoved++
		}
		s.mu.Unlock()
		then()
	})
}

// drop forgets a set that QEMU has not got; or, if that is not known because the connection has ended, sweep finds it.
func (s *fdsets) drop(id int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sets, id)
}

// keepsRemoved tells that QEMU does not let go of descriptors that are removed from its sets: before 9.1 it does only while the guest
// runs (monitor_fdset_cleanup in its monitor/).
func (b *Bridge) keepsRemoved(monitor *qmp.Conn) bool {
	const running = "running" // a RunState
	var status string
	b.mirror.look(func(now *state) { status = now.readings[inventory.Status].fact(0).String() })
	version := monitor.Version()
	return status != running && (version.Major < 9 || version.Major == 9 && version.Minor < 1)
}
