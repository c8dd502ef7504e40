package access

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"

	"qmp-dbus-bridge/bridge/account"
)

// Unreachable finds the permits of the policy files that can never take effect, or that name actions for which they
// can't: what a forbid without conditions takes away again, quit for others than administrators, a condition
// that is false. On the private bus, so are permits for users, groups and roles that are granted nothing, since
// only who is granted something can connect to it.
func (a *Authorizer) Unreachable(privateBus bool) Problems {
	var problems Problems
	for _, one := range a.policies {
		if rule := one.tree(); rule.Effect == ast.EffectPermit && one.file != builtinName {
			problems = append(problems, a.unreachable(one, rule, privateBus)...)
		}
	}
	return problems
}

// Elsewhere finds the policies of the files that are about another VM than this one.
func (a *Authorizer) Elsewhere() Problems {
	var problems Problems
	for _, one := range a.policies {
		if vm, ok := named(one.tree().Resource); ok && vm != a.resource {
			w := &wording{file: one.file, tokens: one.tokens()}
			w.report(w.tokens.entityPlaces(vm), "never applies to the VM %q", a.resource.ID)
			problems = append(problems, w.problems...)
		}
	}
	return problems
}

func (a *Authorizer) unreachable(permit *policy, rule *ast.Policy, privateBus bool) Problems {
	text := permit.tokens()
	w := &wording{file: permit.file, rule: rule, tokens: text}
	for _, condition := range rule.Conditions {
		if value, ok := condition.Body.(ast.NodeValue); ok && value.Value == types.Boolean(!condition.Condition) {
			w.report(nil, "this permit never takes effect: its condition is never met")
		}
	}
	if uid, ok := named(rule.Principal); ok && privateBus && !a.admits(uid) {
		say := fmt.Sprintf("%v is granted no role: it can't connect to the private bus", uid)
		if uid.Type == "Role" {
			say = fmt.Sprintf("the role %s is granted to nobody", uid.ID)
		}
		w.report(text.entityPlaces(uid), "%s", say)
	}
	actions := actionsOf(rule)
	if actions == nil {
		if by, ok := a.forbidden(rule, nil); ok {
			w.report(nil, "this permit never takes effect: %s (%s) forbids all of it", by.id, by.where())
		}
	}
	for _, action := range actions {
		if by, ok := a.forbidden(rule, &action); ok {
			w.report(text.entityPlaces(action), "this permit never takes effect: %s (%s) forbids it", by.id, by.where())
		}
	}
	return w.problems.inOrder()
}

// Built-in forbids. That of quit is the one with a condition that is known to hold for all others than administrators.
const (
	quitStaysID = "quit-stays-with-admin"
	handshakeID = "no-qmp-capabilities"
)

// forbidden finds a policy that forbids one action of a permit, or, where action is nil, all that it permits.
func (a *Authorizer) forbidden(permit *ast.Policy, action *types.EntityUID) (*policy, bool) {
	for _, one := range a.policies {
		rule := one.tree()
		if rule.Effect == ast.EffectPermit || !covers(rule.Principal, permit.Principal) ||
			!covers(rule.Resource, permit.Resource) || !coversAction(rule, action) {
			continue
		}
		admin := permit.Principal == ast.IsPrincipalScopeNode(ast.ScopeTypeIn{Entity: adminRole})
		if len(rule.Conditions) == 0 || one.id == quitStaysID && !admin {
			return one, true
		}
	}
	return nil, false
}

// covers tells whether all that is in the second scope is in the first too, as far as scopes alone tell.
func covers(outer, inner ast.IsScopeNode) bool {
	switch outer := outer.(type) {
	case ast.ScopeTypeAll, ast.ScopeTypeIs: // there is only one type of principals, and one of resources
		return true
	case ast.ScopeTypeEq:
		return inner == ast.IsScopeNode(outer)
	}
	wide, _ := named(outer)
	narrow, ok := named(inner)
	return ok && wide == narrow
}

// named is the entity of a scope, if it has one.
func named(scope ast.IsScopeNode) (types.EntityUID, bool) {
	switch scope := scope.(type) {
	case ast.ScopeTypeEq:
		return scope.Entity, true
	case ast.ScopeTypeIn:
		return scope.Entity, true
	case ast.ScopeTypeIsIn:
		return scope.Entity, true
	}
	return types.EntityUID{}, false
}

// coversAction tells whether a forbid is about an action or class, or, where that is nil, about all.
func coversAction(forbid *ast.Policy, action *types.EntityUID) bool {
	actions := actionsOf(forbid)
	if actions == nil || action == nil {
		return actions == nil
	}
	class := types.NewEntityUID("Action", classPrefix+types.String(classOf(string(action.ID))))
	return slices.Contains(actions, *action) || !isClass(*action) && slices.Contains(actions, class)
}

// actionsOf are the actions and classes of a scope; nil for all.
func actionsOf(rule *ast.Policy) []types.EntityUID {
	if list, ok := rule.Action.(ast.ScopeTypeInSet); ok {
		return list.Entities
	}
	if one, ok := named(rule.Action); ok {
		return []types.EntityUID{one}
	}
	return nil
}

// classOf is the class of an action by its name in policies.
func classOf(id string) Class {
	switch event, ok := strings.CutPrefix(id, eventPrefix); {
	case ok:
		return EventClass(event)
	case id == readProperties, id == introspect, id == subscribe:
		return ClassRead
	}
	return CommandClass(id)
}

// admits tells whether somebody of a user, group or role may connect to the private bus, or can't tell.
func (a *Authorizer) admits(uid types.EntityUID) bool {
	number, err := account.ParseID(string(uid.ID))
	switch {
	case uid == adminRole, uid == types.NewEntityUID("User", "0"), uid == types.NewEntityUID("User", id(a.bridgeUID)):
		return true
	case uid.Type == "Role":
		return slices.ContainsFunc(a.grants, func(g Grant) bool { return g.Role == Role(uid.ID) })
	case err != nil: // a caller's unique name
		return true
	}
	group := uid.Type == "Group"
	return slices.ContainsFunc(a.grants, func(g Grant) bool {
		switch {
		case g.Group == group:
			return g.ID == number
		case group:
			return mayBeIn(g.ID, number)
		}
		return mayBeIn(number, g.ID)
	})
}

// mayBeIn tells whether a user is in a group by the system's database, or isn't known there.
func mayBeIn(uid, gid uint32) bool {
	member, known := account.IsMember(uid, gid)
	return member || !known
}
