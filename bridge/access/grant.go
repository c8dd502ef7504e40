package access

import (
	"fmt"
	"strings"

	"qmp-dbus-bridge/bridge/account"
	"qmp-dbus-bridge/bridge/policytext"
)

// Grant gives a role to a user or to a group.
type Grant struct {
	Role  policytext.Role
	Group bool   // ID is a group's, not a user's
	ID    uint32 // uid or gid
}

// ParseGrant reads ROLE=SUBJECT, where SUBJECT is uid:N, gid:N, user:NAME or group:NAME. Names are
// looked up at once. The ids 65534 and 4294967295 stand for nobody and are refused.
func ParseGrant(text string) (Grant, error) {
	role, subject, ok := strings.Cut(text, "=")
	if !ok {
		return Grant{}, fmt.Errorf("%s: want ROLE=SUBJECT, like viewer=uid:1000", text)
	}
	if !policytext.Role(role).Known() {
		return Grant{}, fmt.Errorf("%s: unknown role %q: want viewer, operator, helper or admin", text, role)
	}
	group, id, err := parseSubject(subject)
	if err != nil {
		return Grant{}, fmt.Errorf("%s: %v", text, err)
	}
	return Grant{Role: policytext.Role(role), Group: group, ID: id}, nil
}

// String is the grant as ParseGrant reads it, with the id.
func (g Grant) String() string {
	kind := "uid"
	if g.Group {
		kind = "gid"
	}
	return fmt.Sprintf("%s=%s:%d", g.Role, kind, g.ID)
}

// check refuses what ParseGrant would not have made.
func (g Grant) check() error {
	if !g.Role.Known() {
		return fmt.Errorf("unknown role %q", g.Role)
	}
	if !grantable(g.ID) {
		return fmt.Errorf("id %d stands for nobody", g.ID)
	}
	return nil
}

func parseSubject(subject string) (group bool, id uint32, err error) {
	kind, value, _ := strings.Cut(subject, ":")
	switch kind {
	case "uid", "gid":
		id, err = account.ParseID(value)
	case "user":
		id, err = account.UserNamed(value)
	case "group":
		id, err = account.GroupNamed(value)
	default:
		err = fmt.Errorf("unknown subject %q: want uid:N, gid:N, user:NAME or group:NAME", subject)
	}
	return kind == "gid" || kind == "group", id, err
}
