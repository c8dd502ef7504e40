package access

import (
	"slices"
	"strconv"
	"sync/atomic"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/x/exp/eval"

	"qmp-dbus-bridge/bridge/action"
	"qmp-dbus-bridge/bridge/policytext"
)

// principal is a caller as one Authorizer sees it. It is made once and kept with the Caller: making it costs
// more than a decision.
type principal struct {
	owner  *Authorizer
	entity cedar.Entity
	label  string
	names  *busNames
	// administers is what Administers tells, which is asked for each call.
	administers bool
	policies    policies                  // those that can have a say for this caller
	partials    []atomic.Pointer[partial] // by actionNumbers; nil until asked for
}

// principal returns the caller's. Two goroutines may make it at the same time; both are right.
func (a *Authorizer) principal(caller *Caller) *principal {
	names := caller.names.Load()
	if p := caller.principal.Load(); p != nil && p.owner == a && (p.names == names || !a.busNames) {
		return p
	}
	p := a.newPrincipal(caller, names)
	caller.principal.Store(p)
	return p
}

func (a *Authorizer) newPrincipal(caller *Caller, names *busNames) *principal {
	attributes := cedar.RecordMap{"uid": cedar.Long(caller.UID)}
	if caller.Label != "" { // an absent label is an absent attribute: no rule on it is satisfied
		attributes["label"] = cedar.String(caller.Label)
	}
	if selinux, ok := parseSELinux(caller.Label); ok {
		attributes["selinux"] = selinux
	}
	if names != nil {
		attributes["busNames"] = names.set
	}
	p := &principal{owner: a, names: names, label: caller.Label, partials: make([]atomic.Pointer[partial], len(actionNumbers)), entity: cedar.Entity{
		UID:        cedar.NewEntityUID("Caller", cedar.String(caller.Name)),
		Parents:    cedar.NewEntityUIDSet(a.parents(caller)...),
		Attributes: cedar.NewRecord(attributes),
	}}
	p.administers = p.entity.Parents.Contains(adminRole)
	p.policies = a.policies.applicable(eval.Env{
		Entities: &entities{principal: p.entity}, Principal: p.entity.UID, Resource: a.resource,
		Action: eval.Variable("action"), Context: eval.Variable("context"),
	})
	return p
}

// parents are what the caller is in: its user, its groups, its roles.
func (a *Authorizer) parents(caller *Caller) []cedar.EntityUID {
	parents := []cedar.EntityUID{cedar.NewEntityUID("User", id(caller.UID))}
	for _, gid := range caller.GIDs {
		parents = append(parents, cedar.NewEntityUID("Group", id(gid)))
	}
	if caller.UID == 0 || caller.UID == a.bridgeUID {
		parents = append(parents, cedar.NewEntityUID("Role", cedar.String(policytext.RoleAdmin)))
	}
	for _, grant := range a.grants {
		if grant.covers(caller) {
			parents = append(parents, cedar.NewEntityUID("Role", cedar.String(grant.Role)))
		}
	}
	return parents
}

func (g Grant) covers(caller *Caller) bool {
	if g.Group {
		return slices.Contains(caller.GIDs, g.ID)
	}
	return caller.UID == g.ID
}

func id(number uint32) cedar.String {
	return cedar.String(strconv.FormatUint(uint64(number), 10))
}

// context is what policies see as that; argumentNames are in it if one looks at them.
func (p *principal) context(given *arguments, withNames bool) cedar.Record {
	context := spareMaps.get()
	defer spareMaps.put(context)
	context["arguments"] = given.record
	if withNames {
		context["argumentNames"] = cedar.NewSet(given.names...)
	}
	if p.label != "" {
		context["label"] = cedar.String(p.label)
	}
	return cedar.NewRecord(context)
}

// entitiesWith are those of a request for an action.
func (p *principal) entitiesWith(action action.Action) *entities {
	return &entities{principal: p.entity, action: cedar.Entity{
		UID:     cedar.NewEntityUID("Action", cedar.String(action.String())),
		Parents: p.owner.classes[action.Class()],
	}}
}

// entities are the two entities that anything can be asked about in a decision.
type entities struct{ principal, action cedar.Entity }

// Get makes entities what cedar.Authorize wants.
func (e *entities) Get(uid cedar.EntityUID) (cedar.Entity, bool) {
	switch uid {
	case e.principal.UID:
		return e.principal, true
	case e.action.UID:
		return e.action, true
	}
	return cedar.Entity{}, false
}
