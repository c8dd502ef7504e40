package access

import (
	"fmt"
	"slices"

	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"

	"qmp-dbus-bridge/bridge/account"
	"qmp-dbus-bridge/bridge/action"
	"qmp-dbus-bridge/bridge/policytext"
)

// Unreachable finds the permits of the policy files that can never take effect, or that name actions for which they
// can't: what a forbid without conditions takes away again, quit for others than administrators, a condition
// that is false. On the private bus, so are permits for users, groups and roles that are granted nothing, since
// only who is granted something can connect to it.
func (a *Authorizer) Unreachable(privateBus bool) policytext.Problems {
	var problems policytext.Problems
	for _, one := range a.policies {
		if rule := one.Tree(); rule.Effect == ast.EffectPermit && one.File != builtinName {
			problems = append(problems, a.unreachable(one, rule, privateBus)...)
		}
	}
	return problems
}

// Elsewhere finds the policies of the files that are about another VM than this one.
func (a *Authorizer) Elsewhere() policytext.Problems {
	var problems policytext.Problems
	for _, one := range a.policies {
		if vm, ok := policytext.Named(one.Tree().Resource); ok && vm != a.resource {
			problems = append(problems, one.ProblemAt(vm, "never applies to the VM %q", a.resource.ID)...)
		}
	}
	return problems
}

func (a *Authorizer) unreachable(permit *policy, rule *ast.Policy, privateBus bool) (problems policytext.Problems) {
	for _, condition := range rule.Conditions {
		if value, ok := condition.Body.(ast.NodeValue); ok && value.Value == types.Boolean(!condition.Condition) {
			problems = append(problems, permit.Problem("this permit never takes effect: its condition is never met"))
		}
	}
	if uid, ok := policytext.Named(rule.Principal); ok && privateBus && !a.admits(uid) {
		say := fmt.Sprintf("%v is granted no role: it can't connect to the private bus", uid)
		if uid.Type == "Role" {
			say = fmt.Sprintf("the role %s is granted to nobody", uid.ID)
		}
		problems = append(problems, permit.ProblemAt(uid, "%s", say)...)
	}
	actions := policytext.Actions(rule)
	if actions == nil {
		if by, ok := a.forbidden(rule, nil); ok {
			problems = append(problems, permit.Problem("this permit never takes effect: %s (%s) forbids all of it", by.id, by.Where()))
		}
	}
	for _, one := range actions {
		if by, ok := a.forbidden(rule, &one); ok {
			problems = append(problems, permit.ProblemAt(one, "this permit never takes effect: %s (%s) forbids it", by.id, by.Where())...)
		}
	}
	return problems.InOrder()
}

// Built-in forbids. That of quit is the one with a condition that is known to hold for all others than administrators.
const (
	quitStaysID = "quit-stays-with-admin"
	handshakeID = "no-qmp-capabilities"
)

// forbidden finds a policy that forbids one action of a permit, or, where wanted is nil, all that it permits.
func (a *Authorizer) forbidden(permit *ast.Policy, wanted *types.EntityUID) (*policy, bool) {
	for _, one := range a.policies {
		rule := one.Tree()
		if rule.Effect == ast.EffectPermit || !covers(rule.Principal, permit.Principal) ||
			!covers(rule.Resource, permit.Resource) || !coversAction(rule, wanted) {
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
	wide, _ := policytext.Named(outer)
	narrow, ok := policytext.Named(inner)
	return ok && wide == narrow
}

// coversAction tells whether a forbid is about an action or class, or, where that is nil, about all.
func coversAction(forbid *ast.Policy, wanted *types.EntityUID) bool {
	actions := policytext.Actions(forbid)
	if actions == nil || wanted == nil {
		return actions == nil
	}
	class := types.NewEntityUID("Action", types.String(action.ClassOf(string(wanted.ID)).ID()))
	return slices.Contains(actions, *wanted) || !policytext.IsClass(*wanted) && slices.Contains(actions, class)
}

// admits tells whether somebody of a user, group or role may connect to the private bus, or can't tell.
func (a *Authorizer) admits(uid types.EntityUID) bool {
	number, err := account.ParseID(string(uid.ID))
	switch {
	case uid == adminRole, uid == types.NewEntityUID("User", "0"), uid == types.NewEntityUID("User", id(a.bridgeUID)):
		return true
	case uid.Type == "Role":
		return slices.ContainsFunc(a.grants, func(g Grant) bool { return g.Role == policytext.Role(uid.ID) })
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
