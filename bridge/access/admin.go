package access

import (
	"github.com/cedar-policy/cedar-go"

	"qmp-dbus-bridge/bridge/policytext"
)

var adminRole = cedar.NewEntityUID("Role", cedar.String(policytext.RoleAdmin))

// Administers reports whether the caller has the role admin. It is for keeping room for administrators,
// not for deciding what a caller may do, which is Decide's.
func (a *Authorizer) Administers(caller *Caller) bool {
	if caller == nil || !caller.identified || !grantable(caller.UID) {
		return false
	}
	return a.principal(caller).administers
}
