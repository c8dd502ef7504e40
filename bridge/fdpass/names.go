package fdpass

import (
	"cmp"
	"errors"
	"fmt"
	"sync"

	"github.com/go-json-experiment/json/jsontext"

	"qmp-dbus-bridge/bridge/quota"
	"qmp-dbus-bridge/qmp"
	"qmp-dbus-bridge/schema"
)

// names knows descriptors that QEMU has by name. Those that callers have passed with getfd are theirs alone. Of the bridge's own it knows
// those that QEMU could not be told to close. QEMU keeps all of them over the end of a connection to its monitor.
type names struct {
	mu      sync.Mutex // guards all below; held for a few steps
	monitor *qmp.Conn  // the one that gather had last, by which QEMU is told to close what nobody needs
	taken   quota.Taken
	owned   map[string]*ownedName
	strays  []string // of the bridge's own, that QEMU is to be told to close when it has been reached again
}

// ownedName is a descriptor of a caller's, or one that is on its way.
type ownedName struct {
	claim  quota.Claim
	there  bool // QEMU has it, as far as that is known
	stray  bool // it may have, and the caller was told that it failed
	onWay  int  // commands under way that change that
	orphan bool // nobody's any more, because the caller has left or it is a stray; QEMU is to close it
}

func newNames() *names {
	return &names{taken: quota.NewTaken(ownPlaces), owned: map[string]*ownedName{}}
}

// getFD is the command that gives QEMU a descriptor by name.
func getFD(name string, fd int) qmp.Command {
	return qmp.Command{Name: "getfd", Arguments: nameArguments(name), FDs: []int{fd}}
}

func closeFD(name string) qmp.Command {
	return qmp.Command{Name: "closefd", Arguments: nameArguments(name)}
}

func nameArguments(name string) []byte {
	arguments, _ := jsontext.AppendQuote([]byte(`{"fdname":`), name) // what is no UTF-8 is replaced
	return append(arguments, '}')
}

// isReserved tells whether a name can't be one of a caller's: b and a digit in front are the bridge's own, "fd:" is what policies see in
// place of one, and what begins with a digit QEMU takes for the number of a descriptor that it has itself.
func isReserved(name string) bool {
	isDigit := func(c byte) bool { return '0' <= c && c <= '9' }
	return name == "" || name == "fd:" || isDigit(name[0]) || len(name) > 1 && name[0] == 'b' && isDigit(name[1])
}

// maxName bounds a name of a caller's, in bytes.
const maxName = 255

// mayName tells whether a caller may name a descriptor: its own only. What nobody has passed is not looked for, so that nobody gets one that
// comes meanwhile.
func (n *names) mayName(owner, name string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if o := n.owned[name]; !o.isOf(owner) || isReserved(name) {
		return fmt.Errorf("you have passed no descriptor of the name '%.64s' with getfd; one can be given in its place (D-Bus type h)", name)
	}
	return nil
}

// begin notes that a caller passes a descriptor. A name that is its own already, QEMU gives to the new one.
func (n *names) begin(c quota.Claim, name string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	o := n.owned[name]
	switch {
	case len(name) > maxName:
		return refusef(ErrLimit, "getfd.fdname: %d bytes; %d are the most", len(name), maxName)
	case isReserved(name):
		return &schema.ArgumentError{
			Path: "getfd.fdname",
			Text: fmt.Sprintf("'%s' can't be yours: a name is not empty, and does not begin with a digit, or with b and a digit", name),
		}
	case o != nil && !o.isOf(c.Sender):
		return refusef(ErrOthers, "getfd.fdname: a descriptor of the name '%s' is another caller's, or about to be closed; choose another name", name)
	case o == nil && !n.taken.May(c):
		return refusef(ErrLimit, "of the descriptors that QEMU may have by getfd, %s, which is the most; close some (closefd)", n.taken.FullFor(c))
	case o == nil:
		o = &ownedName{claim: c}
		n.owned[name] = o
		n.taken.Count(c, 1)
	}
	o.stray = false // QEMU closes the one before
	o.onWay++
	return nil
}

// isOf tells whether it is there and a caller's.
func (o *ownedName) isOf(owner string) bool { return o != nil && o.claim.Sender == owner && !o.orphan }

// beginClose notes that a caller has one closed.
func (n *names) beginClose(c quota.Claim, name string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	o := n.owned[name]
	if !o.isOf(c.Sender) {
		return &qmp.Error{Class: "GenericError", Desc: fmt.Sprintf("File descriptor named '%s' not found: you have passed none of this name", name)}
	}
	o.onWay++
	return nil
}

// settle takes in what a getfd (there) or closefd has become, which was sent on that connection.
func (n *names) settle(monitor *qmp.Conn, name string, there bool, err error) {
	n.mu.Lock()
	o := n.owned[name]
	o.onWay--
	told := isTold(err)
	switch {
	case told:
		o.there = there && (err == nil || o.there)
	case there && !o.there && errors.Is(err, qmp.ErrClosed): // QEMU may have it
		o.there, o.stray = true, true
	}
	again := told || monitor != n.monitor // else it is gather that tries again
	o.orphan = o.orphan || o.stray && again
	var on *qmp.Conn
	if again || !o.there {
		on = n.mayEnd(name, o)
	}
	n.mu.Unlock()
	n.end(on, name)
}

// mayEnd forgets a descriptor that QEMU has not got. Of one that it has, and nobody needs, it returns the connection by which it is to be
// closed: the next thing is end. The lock is held.
func (n *names) mayEnd(name string, o *ownedName) (on *qmp.Conn) {
	switch {
	case o.onWay > 0:
	case !o.there:
		delete(n.owned, name)
		n.taken.Count(o.claim, -1)
	case o.orphan && n.monitor != nil:
		o.onWay++
		return n.monitor
	}
	return nil
}

// end has QEMU close what mayEnd has found, if anything. Until it is closed nobody can pass another of this name.
func (n *names) end(on *qmp.Conn, name string) {
	if on != nil {
		on.Start(closeFD(name), func(reply qmp.Reply) { n.settle(on, name, false, reply.Err) })
	}
}

// used notes that a command has taken descriptors.
func (n *names) used(names []string) {
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
func (n *names) forget(owner string) {
	n.orphan(func(o *ownedName) bool { return o.claim.Sender == owner && !o.orphan }, nil)
}

// orphan has QEMU close those that leave tells. by is a connection that is the one from now on, nil if it is as it was.
func (n *names) orphan(leave func(*ownedName) bool, by *qmp.Conn) {
	n.mu.Lock()
	n.monitor = cmp.Or(by, n.monitor)
	left := map[string]*qmp.Conn{}
	for name, o := range n.owned {
		if leave(o) {
			o.orphan = true
			left[name] = n.mayEnd(name, o)
		}
	}
	n.mu.Unlock()
	for name, on := range left {
		n.end(on, name)
	}
}

// close has QEMU close a descriptor of the bridge's own, unless a command has taken it, and calls then.
func (n *names) close(monitor *qmp.Conn, name string, then func()) {
	monitor.Start(closeFD(name), func(reply qmp.Reply) {
		if !isTold(reply.Err) {
			n.stray(monitor, name)
		}
		then()
	})
}

// stray notes a descriptor of the bridge's own that QEMU may have still, which it was not told to close on that connection.
func (n *names) stray(monitor *qmp.Conn, name string) {
	n.mu.Lock()
	on := n.monitor
	if on == nil || on == monitor {
		n.strays = append(n.strays, name)
		on = nil
	}
	n.mu.Unlock()
	if on != nil { // another has come meanwhile
		n.close(on, name, func() {})
	}
}

// gather takes up a QEMU that has been reached, and has it close what was left over from the connection before. If it is another one, it
// says that it has none such.
func (n *names) gather(monitor *qmp.Conn) {
	n.orphan(func(o *ownedName) bool { return o.orphan || o.stray }, monitor)
	n.mu.Lock()
	strays := n.strays
	n.strays = nil
	n.mu.Unlock()
	for _, name := range strays {
		n.close(monitor, name, func() {})
	}
}
