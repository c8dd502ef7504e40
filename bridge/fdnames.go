package bridge

import (
	"errors"
	"fmt"
	"sync"

	"qmp-dbus-bridge/qmp"
)

// ownedFDs is how many descriptors callers may have in QEMU by getfd, and as many by add-fd. A QMP session is a caller of its own. QEMU usually
// may have 1024.
var ownedFDs = places{sender: 16, user: 32, users: 48, all: 64}

// fdnames knows the descriptors that QEMU has by name: those that callers have passed with getfd, which are theirs alone, and those that it
// is yet to close. A monitor of QEMU's keeps them over the end of a connection.
type fdnames struct {
	mu     sync.Mutex // guards all below; held for a few steps
	taken  occupancy
	owned  map[string]*ownedFD
	strays []string // of the bridge's own, to be closed when the next connection has begun: those of the commands in flight when one ended
}

// ownedFD is a descriptor of a caller's, or one that is on its way.
type ownedFD struct {
	claim  claim
	there  bool // QEMU has it, as far as that is known
	onWay  int  // commands under way that change that
	orphan bool // the caller has left
}

func newFDNames() *fdnames {
	return &fdnames{taken: newOccupancy(ownedFDs), owned: map[string]*ownedFD{}}
}

// getFD is the command that gives QEMU a descriptor by name.
func getFD(name string, fd int) qmp.Command {
	return qmp.Command{Name: "getfd", Arguments: fdArguments(name), FDs: []int{fd}}
}

func closeFD(name string) qmp.Command {
	return qmp.Command{Name: "closefd", Arguments: fdArguments(name)}
}

func fdArguments(name string) []byte { return withMember(nil, "fdname", name) }

// isReserved tells whether a name can't be one of a caller's: b and a digit in front are the bridge's own, and "fd:" is what policies see in
// place of one.
func isReserved(name string) bool {
	return name == "" || name == "fd:" || len(name) > 1 && name[0] == 'b' && '0' <= name[1] && name[1] <= '9'
}

// maxFDName bounds a name of a caller's, in bytes.
const maxFDName = 255

// mayName tells whether a caller may name a descriptor: its own only. What nobody has passed is not looked for, so that nobody gets one that
// comes meanwhile.
func (n *fdnames) mayName(owner, name string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if o := n.owned[name]; o == nil || o.claim.sender != owner || isReserved(name) {
		return fmt.Errorf("you have passed no descriptor of the name '%.64s' with getfd; one can be given in its place (D-Bus type h)", name)
	}
	return nil
}

// begin notes that a caller passes a descriptor. A name that is its own already, QEMU gives to the new one.
func (n *fdnames) begin(c claim, name string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	o := n.owned[name]
	switch {
	case len(name) > maxFDName:
		return failuref(errLimits, "getfd.fdname: %d bytes; %d are the most", len(name), maxFDName)
	case isReserved(name):
		return failuref(errInvalidArgs, "getfd.fdname: '%s' is reserved, as are all names that begin with b and a digit", name)
	case o != nil && o.claim.sender != c.sender:
		return failuref(errAccessDenied, "getfd.fdname: another caller has passed a descriptor of the name '%s'; choose another", dbusText(name))
	case o == nil && !n.taken.may(c):
		return failuref(errLimits, "QEMU has too many descriptors by getfd, of yours (%d), your user's or all callers'; close some (closefd), also those that a command has taken", ownedFDs.sender)
	case o == nil:
		o = &ownedFD{claim: c}
		n.owned[name] = o
		n.taken.count(c, 1)
	}
	o.onWay++
	return nil
}

// beginClose notes that a caller has one closed.
func (n *fdnames) beginClose(c claim, name string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	o := n.owned[name]
	if o == nil || o.claim.sender != c.sender {
		return &qmp.Error{Class: qmpClassGeneric, Desc: fmt.Sprintf("File descriptor named '%s' not found: you have passed none of this name", name)}
	}
	o.onWay++
	return nil
}

// settle takes in what a getfd (there) or closefd has become.
func (n *fdnames) settle(monitor *qmp.Conn, name string, there bool, err error) {
	n.mu.Lock()
	o := n.owned[name]
	o.onWay--
	if gone := errors.Is(err, qmp.ErrClosed); gone {
		o.there = o.there || there // it may have got there
	} else {
		o.there = there && (err == nil || o.there)
	}
	last := n.mayEnd(name, o)
	n.mu.Unlock()
	if last {
		n.end(monitor, name)
	}
}

// mayEnd forgets a descriptor that QEMU has not got; true if it has it, and is to close it. The lock is held.
func (n *fdnames) mayEnd(name string, o *ownedFD) (close bool) {
	switch {
	case o.onWay > 0:
	case !o.there:
		delete(n.owned, name)
		n.taken.count(o.claim, -1)
	case o.orphan:
		o.onWay++
		return true
	}
	return false
}

// end has QEMU close what an owner has left behind, and forgets it then: until that, nobody can pass another of this name. Where there is no
// QEMU, or it goes, gather does that.
func (n *fdnames) end(monitor *qmp.Conn, name string) {
	if monitor == nil {
		n.keep(name)
		return
	}
	monitor.Start(closeFD(name), func(reply qmp.Reply) {
		if errors.Is(reply.Err, qmp.ErrClosed) {
			n.keep(name)
			return
		}
		n.settle(monitor, name, false, nil)
	})
}

// keep leaves one to gather.
func (n *fdnames) keep(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.owned[name].onWay--
}

// used notes that a command has taken descriptors.
func (n *fdnames) used(names []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, name := range names {
		if o := n.owned[name]; o != nil {
			o.there = false
			n.mayEnd(name, o)
		}
	}
}

// forget has QEMU close those of a caller that has left.
func (n *fdnames) forget(monitor *qmp.Conn, owner string) {
	n.mu.Lock()
	var left []string
	for name, o := range n.owned {
		if o.claim.sender != owner || o.orphan {
			continue
		}
		o.orphan = true
		if n.mayEnd(name, o) {
			left = append(left, name)
		}
	}
	n.mu.Unlock()
	for _, name := range left {
		n.end(monitor, name)
	}
}

// close has QEMU close a descriptor of the bridge's own, unless a command has taken it, and calls then.
func (n *fdnames) close(monitor *qmp.Conn, name string, then func()) {
	monitor.Start(closeFD(name), func(reply qmp.Reply) {
		if errors.Is(reply.Err, qmp.ErrClosed) {
			n.stray(name)
		}
		then()
	})
}

// stray notes a descriptor that QEMU may have still, at the end of a connection.
func (n *fdnames) stray(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.strays = append(n.strays, name)
}

// gather has a QEMU that has been reached close what was left over from the connection before. If it is another one, it says that it
// has none such.
func (n *fdnames) gather(monitor *qmp.Conn) {
	n.mu.Lock()
	strays := n.strays
	n.strays = nil
	var left []string
	for name, o := range n.owned {
		if o.orphan && n.mayEnd(name, o) {
			left = append(left, name)
		}
	}
	n.mu.Unlock()
	for _, name := range strays {
		n.close(monitor, name, func() {})
	}
	for _, name := range left {
		n.end(monitor, name)
	}
}
