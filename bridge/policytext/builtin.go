package policytext

import (
	_ "embed"
	"slices"
)

//go:embed builtin.cedar
var builtin string

// Builtin is the text of the policy that is always in force.
func Builtin() string { return builtin }

// Role is a named set of rights; builtin.cedar says which.
type Role string

// The roles that can be granted.
const (
	RoleViewer   Role = "viewer"   // class read
	RoleOperator Role = "operator" // read, lifecycle, input
	RoleHelper   Role = "helper"   // read, and what policy files add
	RoleAdmin    Role = "admin"    // everything but monitor-control; and quit
)

var roles = []Role{RoleViewer, RoleOperator, RoleHelper, RoleAdmin}

// Known tells whether there is such a role.
func (r Role) Known() bool { return slices.Contains(roles, r) }
