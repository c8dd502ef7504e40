package fdpass

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"strings"
	"sync"

	"qmp-dbus-bridge/bridge/quota"
	"qmp-dbus-bridge/qmp"
)

// What QEMU may be given in sets of descriptors.
const (
	maxSets = 256 // at a time, callers' own among them: each of the bridge's costs QEMU a descriptor, or two for a block node, of the 1024 that it usually may have
	// maxUnremoved is how many descriptors QEMU may keep though they were removed; see keepsRemoved.
	maxUnremoved = 64
)

// sets knows the sets of descriptors that QEMU has from here. The numbers that the bridge chooses are of those that QEMU does not choose by
// itself (it takes the lowest): so it is known whose a set is before QEMU has it, and nobody can guess the number of another's.
type sets struct {
	tag     string // opaque of each, which tells it from those of others
	running func() bool

	mu        sync.Mutex // guards all below and what is in sets; held for a few steps
	monitor   *qmp.Conn  // the one that gather had last, by which QEMU is told to remove what callers have left behind
	ours      map[int64]*Set
	owned     map[int64]*ownedSet // no number is among both
	taken     quota.Taken         // by callers' own
	used      bool                // QEMU was given one at any time
	unremoved int                 // that QEMU keeps, though they were removed
	reviewing bool                // QEMU is asked which are in use still
	again     bool                // and is to be asked once more then
}

func newSets(running func() bool) *sets {
	return &sets{tag: "bridge:" + rand.Text(), running: running, ours: map[int64]*Set{}, owned: map[int64]*ownedSet{}, taken: quota.NewTaken(ownPlaces)}
}

// begin chooses the number of a set that is to be added to QEMU.
func (s *sets) begin(monitor *qmp.Conn) (*Set, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.room(monitor, 1); err != nil {
		return nil, err
	}
	set := &Set{of: s, id: s.choose()}
	s.ours[set.id], s.used = set, true
	return set, nil
}

// room tells whether there may be so many sets more, and another descriptor. The lock is held.
func (s *sets) room(monitor *qmp.Conn, more int) error {
	switch has := len(s.ours) + len(s.owned); {
	case has+more > maxSets:
		return refusef(ErrLimit, "QEMU has %d sets of descriptors from here, and %d is the most: delete block nodes that were added with one", has, maxSets)
	case s.unremoved >= maxUnremoved:
		return refusef(ErrLimit, "QEMU %s keeps descriptors that are not needed any more until the guest runs, and has %d: resume the guest", monitor.Version(), s.unremoved)
	}
	return nil
}

// choose chooses a number that no set has. The lock is held.
func (s *sets) choose() (id int64) {
	for id == 0 || s.ours[id] != nil || s.owned[id] != nil {
		id = randomNumber()
	}
	return id
}

// randomNumber is one from 2^30 on, below the 2^31 that is QEMU's limit for the name of a set.
func randomNumber() int64 {
	var random [4]byte
	_, _ = rand.Read(random[:]) // never fails
	return 1<<30 | int64(binary.LittleEndian.Uint32(random[:])>>2)
}

// mayName tells whether a caller may name a set: not one of the bridge's or of another caller's. Those that QEMU has from elsewhere are not
// known here.
func (s *sets) mayName(owner string, id int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, others := s.find(owner, id); others {
		return fmt.Errorf("the set %d of descriptors is another's", id)
	}
	return nil
}

// find finds a caller's own set of a number, nil if there is none. others says that it is the bridge's or another caller's. The lock is held.
func (s *sets) find(owner string, id int64) (own *ownedSet, others bool) {
	set := s.owned[id]
	if s.ours[id] != nil || set != nil && !set.isOf(owner) {
		return nil, true
	}
	return set, false
}

// keepsRemoved tells that QEMU does not let go of descriptors that are removed from its sets: before 9.1 it does only while the guest
// runs (monitor_fdset_cleanup in its monitor/).
func (s *sets) keepsRemoved(monitor *qmp.Conn) bool {
	version := monitor.Version()
	return (version.Major < 9 || version.Major == 9 && version.Minor < 1) && !s.running()
}

// removeOne is the command that removes one descriptor of a set.
func removeOne(id, fd int64) qmp.Command {
	return qmp.Command{Name: "remove-fd", Arguments: fmt.Appendf(nil, `{"fdset-id":%d,"fd":%d}`, id, fd)}
}

// opaqueOf is that of a caller's own descriptor: the tag, and behind it what the caller has given, if anything.
func (s *sets) opaqueOf(given *string) string {
	if given == nil {
		return s.tag
	}
	return s.tag + ":" + *given
}

// isTagged tells whether an opaque is one of those.
func (s *sets) isTagged(opaque string) bool {
	return opaque == s.tag || strings.HasPrefix(opaque, s.tag+":")
}
