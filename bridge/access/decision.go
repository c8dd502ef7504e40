package access

import (
	"qmp-dbus-bridge/bridge/action"
)

// Ids that stand in for a policy's when none decided.
const (
	defaultDeny   = "default-deny"   // no policy permits it
	noCaller      = "no-identity"    // it is not known who calls
	invalidAction = "invalid-action" // such an action cannot be named in a policy
	badArguments  = "bad-arguments"  // a policy looks at the arguments, which it can't be given
	qemuItself    = "qemu-itself"    // QEMU's own uid calls
	oddQOMPath    = "odd-qom-path"   // an object is not named by its absolute path
	errorPrefix   = "error:"         // before the id of a policy that could not be evaluated
)

// reservedIDs are those that no policy may have.
var reservedIDs = []string{defaultDeny, noCaller, invalidAction, badArguments, qemuItself, oddQOMPath}

// Decision says whether an action may be done. It is made by Authorizer.Decide alone; the zero
// Decision denies.
type Decision struct {
	allowed   bool
	forbidden bool // by a policy
	action    string
	policy    string
	err       error
}

// Allowed tells whether the action may be done.
func (d Decision) Allowed() bool { return d.allowed }

// Action is the action's name, as action.Action.String gives it.
func (d Decision) Action() string { return d.action }

// Policy is the id of the deciding policy, or "default-deny", "no-identity", "invalid-action",
// "bad-arguments", "qemu-itself", "odd-qom-path", or "error:" and the id of the policy that could not be evaluated.
func (d Decision) Policy() string {
	if d.policy == "" {
		return defaultDeny
	}
	return d.policy
}

// Err says why a policy could not be evaluated, or could not be given the arguments; nil otherwise. It is for the
// log, not for callers.
func (d Decision) Err() error { return d.err }

func deny(action action.Action, policy string) Decision {
	return Decision{action: action.String(), policy: policy}
}

func failed(action action.Action, policy string, err error) Decision {
	return Decision{action: action.String(), policy: policy, err: err}
}
