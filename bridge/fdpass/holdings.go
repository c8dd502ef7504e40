package fdpass

import (
	"qmp-dbus-bridge/bridge/fdarg"
	"qmp-dbus-bridge/bridge/quota"
	"qmp-dbus-bridge/qmp"
)

// Holdings are the descriptors that QEMU has from here, and whose they are. [New] makes them. Their methods may be called from
// anywhere, and don't block. An owner is the sender of a claim.
type Holdings struct {
	names *names
	sets  *sets
}

// ownPlaces is how many descriptors callers may have in QEMU by getfd, and as many by add-fd. A QMP session is a caller of its own. QEMU usually
// may have 1024.
var ownPlaces = quota.Places{Sender: 16, User: 32, Users: 48, All: 64}

// New makes those of a QEMU that has none. running tells whether the guest runs, as far as that is known; it is called from
// anywhere, and does not block.
func New(running func() bool) *Holdings {
	return &Holdings{newNames(), newSets(running)}
}

// Command is a command of a caller's, which is decided, with its descriptors.
type Command struct {
	qmp.Command
	Owner   quota.Claim  // of what it passes, if that is to be the caller's own
	Serial  uint32       // of the call, by which a name of the bridge's begins; 0 if there is none
	Placed  fdarg.Placed // the descriptors among its arguments
	TakeFDs func() []int // hands over those that came with it. It is called when QEMU gets them, and once
}

// Start runs a command that has descriptors in place of names, or that IsOwn, and calls done as monitor.Start does: maybe before it returns.
// The error may also be ErrLimit, ErrOthers or what CheckArguments finds; then QEMU was told nothing of it. The owner may leave meanwhile:
// whoever tells Forget of that looks once more when Start has returned.
func (h *Holdings) Start(monitor *qmp.Conn, c Command, done func(qmp.Reply)) {
	if IsOwn(c.Name) {
		h.startOwn(monitor, c, done)
		return
	}
	h.startPassing(monitor, c, done)
}

// Names tells which descriptors of QEMU's a caller may name.
func (h *Holdings) Names(owner string) fdarg.Names {
	return fdarg.Names{
		Name: func(name string) error { return h.names.mayName(owner, name) },
		Set:  func(id int64) error { return h.sets.mayName(owner, id) },
	}
}

// NewSet chooses the number of a set that is to be added to QEMU. The error is ErrLimit.
func (h *Holdings) NewSet(monitor *qmp.Conn) (*Set, error) { return h.sets.begin(monitor) }

// KeepsRemoved tells that this QEMU does not let go of descriptors that are removed from its sets now.
func (h *Holdings) KeepsRemoved(monitor *qmp.Conn) bool { return h.sets.keepsRemoved(monitor) }

// Executed takes in that QEMU has executed a command, with these arguments: it may have taken what they name, and ended what sets are
// kept for.
func (h *Holdings) Executed(monitor *qmp.Conn, command qmp.Command) {
	h.names.used(fdarg.Taken(command.Name, command.Arguments))
	h.sets.heard(monitor, command.Name)
}

// Heard takes in that an event came. monitor is nil while there is none.
func (h *Holdings) Heard(monitor *qmp.Conn, event string) {
	if monitor != nil {
		h.sets.heard(monitor, event)
	}
}

// Gather takes up a QEMU that has been reached, which may be the same as before, and has it let go of what was left over.
func (h *Holdings) Gather(monitor *qmp.Conn) {
	h.names.gather(monitor)
	h.sets.gather(monitor)
}

// Forget has QEMU let go of what is of an owner that has left; where there is no QEMU, when it has been reached again.
func (h *Holdings) Forget(owner string) {
	h.names.forget(owner)
	h.sets.forget(owner)
}
