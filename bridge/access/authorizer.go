package access

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/cedar-policy/cedar-go"

	"qmp-dbus-bridge/bridge/action"
)

// Config is what an Authorizer decides by.
type Config struct {
	VM        string   // the VM's name, the resource VM::"<name>" of policies
	BridgeUID uint32   // the bridge's own uid: admin, and may own policy files
	Grants    []Grant  // roles; uid 0 and BridgeUID are admin without one
	Files     []string // policy files, added to the built-in policy
	QEMU      *uint32  // QEMU's own uid, nil if unknown: denied all, unless it is 0 or BridgeUID
}

// qemu is QEMU's uid where it is one that can be told from those who may do all.
func (c Config) qemu() *uint32 {
	if c.QEMU == nil || *c.QEMU == 0 || *c.QEMU == c.BridgeUID {
		return nil
	}
	return c.QEMU
}

// Authorizer decides who may do what. What it decides never changes, and it is safe for concurrent use; a new policy is a
// new Authorizer.
type Authorizer struct {
	resource  cedar.EntityUID
	bridgeUID uint32
	grants    []Grant
	qemu      *uint32 // its callers are denied everything; nil for nobody
	policies  policies
	busNames  bool                                // a policy looks at them
	classes   map[action.Class]cedar.EntityUIDSet // the parents of the actions of a class
	hash      string
	partials  sync.Map // by their Decision; see shared
}

// New reads and checks the policy files and returns an Authorizer. What is wrong with them is policytext.Problems, all of it.
func New(config Config) (*Authorizer, error) {
	for _, grant := range config.Grants {
		if err := grant.check(); err != nil {
			return nil, fmt.Errorf("%v: %v", grant, err)
		}
		if qemu := config.qemu(); qemu != nil && !grant.Group && grant.ID == *qemu {
			return nil, fmt.Errorf("%v: uid %d is QEMU's own and may not call the bridge", grant, grant.ID)
		}
	}
	var digest digest
	policies, err := loadPolicies(config.Files, config.BridgeUID, &digest)
	if err != nil {
		return nil, err
	}
	for _, grant := range config.Grants {
		digest.grant(grant)
	}
	a := &Authorizer{
		resource:  cedar.NewEntityUID("VM", cedar.String(config.VM)),
		bridgeUID: config.BridgeUID,
		grants:    config.Grants,
		qemu:      config.qemu(),
		policies:  policies,
		busNames:  slices.ContainsFunc(policies, func(one *policy) bool { return one.reads.busNames }),
		classes:   make(map[action.Class]cedar.EntityUIDSet),
		hash:      digest.sum(),
	}
	for _, class := range action.Classes() {
		a.classes[class] = cedar.NewEntityUIDSet(cedar.NewEntityUID("Action", cedar.String(class.ID())))
	}
	return a, nil
}

// Hash tells policies apart. It is the SHA-256, in hexadecimal, of a text with a line for each of these: the SHA-256 of
// the built-in policy, those of the files in their order, and the grants in theirs, as Grant.String has them.
func (a *Authorizer) Hash() string { return a.hash }

// Where is the place of the policy with that id, FILE:LINE:COLUMN; empty if there is none.
func (a *Authorizer) Where(id string) string {
	if one, ok := a.policies.find(id); ok {
		return one.Where()
	}
	return ""
}

// Policies is how many there are, with the built-in ones.
func (a *Authorizer) Policies() int { return len(a.policies) }

// Decide says whether the caller may do the action; of a command with these arguments, one JSON object in UTF-8, exactly
// as QEMU will get it, or nil for none. A nil caller, one without identity and the zero Action are denied. Decide never
// blocks; arguments stays the caller's.
//
// The arguments are read only if a policy has a say that looks at them. They are refused, as "bad-arguments", when they
// are more than 32 levels deep, have more than 1024 values or 64 KiB of names, or are no JSON object. A policy that looks
// at a value that Cedar can't hold (null, a fraction, an integer beyond 64 bits with a sign) can't be evaluated,
// and neither can it by asking whether that is there.
func (a *Authorizer) Decide(caller *Caller, action action.Action, arguments []byte) Decision {
	if refused, ok := a.refuse(caller, action); ok {
		return refused
	}
	return a.principal(caller).partial(action).decide(arguments)
}

// MayAllow is false when Decide denies the action whatever the arguments are, as far as can be told from the policies
// that do not look at them, and true otherwise.
func (a *Authorizer) MayAllow(caller *Caller, action action.Action) bool {
	if _, ok := a.refuse(caller, action); ok {
		return false
	}
	partial := a.principal(caller).partial(action)
	return partial.fixed.allowed || partial.residual != nil
}

// refuse denies what no policy is asked about.
func (a *Authorizer) refuse(caller *Caller, action action.Action) (Decision, bool) {
	switch {
	case caller == nil || !caller.identified || !grantable(caller.UID):
		return deny(action, noCaller), true
	case a.qemu != nil && caller.UID == *a.qemu:
		return deny(action, qemuItself), true
	case !action.Valid():
		return deny(action, invalidAction), true
	}
	return Decision{}, false
}

// newDecision turns Cedar's verdict on policies into ours, which differs where a policy could not be evaluated: Cedar
// passes over such a policy, and if that is a forbid, allows what it should have stopped.
func newDecision(action action.Action, on policies, verdict cedar.Decision, why cedar.Diagnostic) Decision {
	forbidden := verdict == cedar.Deny && len(why.Reasons) > 0
	if len(why.Errors) > 0 && !forbidden {
		first := why.Errors[0]
		err := errors.New(first.Message)
		if one, ok := on.find(string(first.PolicyID)); ok {
			err = fmt.Errorf("%s: %s", one.Where(), first.Message)
		}
		return failed(action, errorPrefix+string(first.PolicyID), err)
	}
	if len(why.Reasons) == 0 {
		return deny(action, defaultDeny)
	}
	return Decision{
		allowed:   verdict == cedar.Allow,
		forbidden: forbidden,
		action:    action.String(),
		policy:    string(why.Reasons[0].PolicyID),
	}
}
