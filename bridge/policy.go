package bridge

import (
	"time"

	"qmp-dbus-bridge/bridge/access"
)

// SetPolicy makes policy the one that decides from now on. Calls that are being executed keep the one they
// began with. Subscriptions that the new one does not allow are ended, each with a record in the audit, and
// PolicyHash shows the new one. It may be called at any time, by one at a time.
func (b *Bridge) SetPolicy(policy *access.Authorizer) {
	b.policy.Store(policy)
	b.reviewSubscriptions()
	b.mirror.setPolicyHash(policy.Hash())
}

// reviewSubscriptions ends those that the policy does not allow. The lock is not held while it decides: the QMP reader
// needs it.
func (b *Bridge) reviewSubscriptions() {
	for _, one := range b.subscriptions.all() {
		decision := b.policy.Load().Decide(one.caller, access.Event(one.event), nil)
		if decision.Allowed() || !b.subscriptions.end(one) {
			continue
		}
		record := access.Record{
			Time: time.Now(), Name: one.caller.Name, Caller: one.caller, Decision: decision, Result: errAccessDenied,
		}
		if err := b.audit.Write(record); err != nil {
			b.log.Error("the end of a subscription was not recorded", "caller", record.Name, "action", decision.Action(), "error", err)
		}
	}
}
