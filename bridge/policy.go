package bridge

import (
	"time"

	"qmp-dbus-bridge/bridge/access"
	"qmp-dbus-bridge/bridge/action"
	"qmp-dbus-bridge/bridge/audit"
	"qmp-dbus-bridge/qmp"
	"qmp-dbus-bridge/schema"
)

// SetPolicy makes policy the one that decides from now on. Calls that are being executed keep the one they
// began with. Subscriptions and QMP sessions that the new one does not allow are ended, each with a record in the audit, and
// PolicyHash shows the new one. It may be called at any time, by one at a time.
func (b *Bridge) SetPolicy(policy *access.Authorizer) {
	b.policy.Store(policy)
	b.reviewSubscriptions()
	b.reviewSessions("")
	b.mirror.setPolicyHash(policy.Hash())
}

// Decide is what policy decides on a call of a command with arguments that are JSON text, as CallJson has it: on the
// command, and, if that is allowed and a transaction, on its actions up to the first that is denied. The call is
// allowed if all are. An error is what a caller who may do it would get instead: the arguments are none.
func Decide(policy *access.Authorizer, caller *access.Caller, name, arguments string) ([]access.Decision, error) {
	text, err := schema.Canonical(nil, []byte(arguments), name)
	if err != nil {
		return nil, err
	}
	command := qmp.Command{Name: name, Arguments: text}
	decision := policy.Decide(caller, action.Command(name), text)
	if !decision.Allowed() {
		return []access.Decision{decision}, nil
	}
	wrapped, err := decideActions(policy, caller, command)
	return append([]access.Decision{decision}, wrapped...), err
}

// reviewSubscriptions ends those, of the callers of these names or of all, that the policy does not allow. The lock is
// not held while it decides: the QMP reader needs it.
func (b *Bridge) reviewSubscriptions(names ...string) {
	for _, one := range b.subscriptions.all(names...) {
		b.callers.Update(one.caller)
		decision := b.policy.Load().Decide(one.caller, action.Event(one.event), nil)
		if decision.Allowed() || !b.subscriptions.end(one) {
			continue
		}
		record := audit.Record{
			Time: time.Now(), Name: one.caller.Name, Caller: one.caller, Decision: decision, Result: errAccessDenied,
		}
		if err := b.audit.Write(record); err != nil {
			b.noteUnrecorded(err)
		}
	}
}
