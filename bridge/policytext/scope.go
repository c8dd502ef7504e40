package policytext

import (
	"strings"

	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"

	"qmp-dbus-bridge/bridge/action"
)

// Named is the entity of a scope, if it has one.
func Named(scope ast.IsScopeNode) (types.EntityUID, bool) {
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

// Actions are the actions and classes of a scope; nil for all.
func Actions(rule *ast.Policy) []types.EntityUID {
	if list, ok := rule.Action.(ast.ScopeTypeInSet); ok {
		return list.Entities
	}
	if one, ok := Named(rule.Action); ok {
		return []types.EntityUID{one}
	}
	return nil
}

// IsClass tells classes from actions.
func IsClass(uid types.EntityUID) bool { return strings.HasPrefix(string(uid.ID), action.ClassPrefix) }
