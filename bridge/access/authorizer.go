package access

import (
	"errors"
	"fmt"

	"github.com/cedar-policy/cedar-go"
)

// Config is what an Authorizer decides by.
type Config struct {
	VM        string   // the VM's name, the resource VM::"<name>" of policies
	BridgeUID uint32   // the bridge's own uid: admin, and may own policy files
	Grants    []Grant  // roles; uid 0 and BridgeUID are admin without one
	Files     []string // policy files, added to the built-in policy
}

// Authorizer decides who may do what. It never changes and is safe for concurrent use; a new policy is a
// new Authorizer.
type Authorizer struct {
	resource  cedar.EntityUID
	bridgeUID uint32
	grants    []Grant
	policies  policies
	classes   map[Class]cedar.EntityUIDSet // the parents of the actions of a class
}

// New reads the policy files and returns an Authorizer. An error names the file and, where there is one, line
// and column.
func New(config Config) (*Authorizer, error) {
	for _, grant := range config.Grants {
		if err := grant.check(); err != nil {
			return nil, fmt.Errorf("grant %v: %v", grant, err)
		}
	}
	policies, err := loadPolicies(config.Files, config.BridgeUID)
	if err != nil {
		return nil, err
	}
	a := &Authorizer{
		resource:  cedar.NewEntityUID("VM", cedar.String(config.VM)),
		bridgeUID: config.BridgeUID,
		grants:    config.Grants,
		policies:  policies,
		classes:   make(map[Class]cedar.EntityUIDSet),
	}
	for _, class := range classes {
		a.classes[class] = cedar.NewEntityUIDSet(cedar.NewEntityUID("Action", "class:"+cedar.String(class)))
	}
	return a, nil
}

// Decide says whether the caller may do the action. A nil caller, one without identity and the zero
// Action are denied. It never blocks.
func (a *Authorizer) Decide(caller *Caller, action Action) Decision {
	if caller == nil || !caller.identified || !grantable(caller.UID) {
		return deny(action, noCaller)
	}
	if !action.valid {
		return deny(action, invalidAction)
	}
	principal := a.principal(caller)
	request := entities{principal: principal.entity, action: cedar.Entity{
		UID:     cedar.NewEntityUID("Action", cedar.String(action.name)),
		Parents: a.classes[action.class],
	}}
	verdict, why := cedar.Authorize(principal.policies, &request, cedar.Request{
		Principal: request.principal.UID,
		Action:    request.action.UID,
		Resource:  a.resource,
		Context:   principal.context,
	})
	return newDecision(action, verdict, why)
}

// newDecision turns Cedar's verdict into ours, which differs where a policy could not be evaluated: Cedar
// passes over such a policy, and if that is a forbid, allows what it should have stopped.
func newDecision(action Action, verdict cedar.Decision, why cedar.Diagnostic) Decision {
	forbidden := verdict == cedar.Deny && len(why.Reasons) > 0
	if len(why.Errors) > 0 && !forbidden {
		failed := why.Errors[0]
		d := deny(action, errorPrefix+string(failed.PolicyID))
		d.err = errors.New(failed.String())
		return d
	}
	if len(why.Reasons) == 0 {
		return deny(action, defaultDeny)
	}
	return Decision{
		allowed: verdict == cedar.Allow,
		action:  action.name,
		policy:  string(why.Reasons[0].PolicyID),
	}
}
