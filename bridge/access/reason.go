package access

import "qmp-dbus-bridge/bridge/action"

// reasons are what callers are told of denials, by the id that is decided by.
var reasons = map[string]string{
	defaultDeny:   "no grant or policy permits it",
	noCaller:      "it is not known who you are",
	invalidAction: "there can be nothing of that name",
	badArguments:  "a policy looks at the arguments, and these can't be shown to one: too deep, too many, or not one JSON object",
	qemuItself:    "QEMU's own user may not call the bridge",
	oddQOMPath:    "a policy looks at the arguments, so name the object by its absolute path, or a device by its bare id",
	handshakeID:   "the handshake is the bridge's own",
	quitStaysID:   "it stays with administrators",
}

// Reason says why not, where Decide denies. It is for the caller, so it tells nothing of the rules that policy files make: not
// which one decided, nor what it looks at.
func (d Decision) Reason() string {
	reason, known := reasons[d.Policy()]
	switch {
	case !known && d.forbidden:
		return "a policy forbids it"
	case !known:
		return "a policy can't be evaluated; the bridge's audit says which"
	case d.Policy() == defaultDeny && d.Class() == action.ClassHost && !action.IsListed(d.action):
		return reason + "; the bridge knows no such command"
	}
	return reason
}

// Class is the risk class of the action.
func (d Decision) Class() action.Class { return action.ClassOf(d.action) }
