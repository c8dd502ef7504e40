package access

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"qmp-dbus-bridge/bridge/account"
)

const (
	maxBusName = 255  // bytes, the D-Bus specification's limit
	maxGroups  = 1024 // a subordinate gid range allows 65536, which would cost 8 MB a connection
	maxLabel   = 4096 // bytes, a page: the kernel's own limit for SELinux
)

// ErrNoIdentity says that it is not known who a caller is, so that nothing may be done for it.
var ErrNoIdentity = errors.New("no identity")

// Caller is whoever sent a D-Bus call, as the bus saw it when it connected. Callers are made by
// NewCaller and ParseCredentials alone, and shared: nobody changes one, but that it may come to own other names
// on the bus. A Caller made otherwise has no identity, whatever its fields say.
type Caller struct {
	Name  string   // unique name, ":1.5"
	UID   uint32   // effective user id
	GIDs  []uint32 // all group ids, sorted, each once
	PID   uint32   // process id, 0 if unknown; for the audit, never for a decision
	Label string   // security label without its trailing NUL; empty if there is none

	identified bool
	names      atomic.Pointer[busNames]
	principal  atomic.Pointer[principal] // this caller as the Authorizer used last sees it
}

// NewCaller returns the caller with these credentials. It fails with ErrNoIdentity when name is not
// a unique name, uid is one that never stands for anybody (65534, 4294967295), or there is more
// than 1024 groups or 4096 bytes of label. Groups that stand for nobody are left out.
func NewCaller(name string, uid uint32, gids []uint32, pid uint32, label string) (*Caller, error) {
	switch {
	case !isUniqueName(name):
		return nil, noIdentity(name, "not a unique name")
	case !grantable(uid):
		return nil, noIdentity(name, fmt.Sprintf("uid %d stands for nobody", uid))
	case len(gids) > maxGroups:
		return nil, noIdentity(name, fmt.Sprintf("more than %d groups", maxGroups))
	case len(label) > maxLabel, strings.Contains(label, "\x00"):
		return nil, noIdentity(name, "malformed security label")
	}
	gids = slices.DeleteFunc(slices.Clone(gids), func(gid uint32) bool { return !grantable(gid) })
	slices.Sort(gids)
	return &Caller{
		Name: name, UID: uid, GIDs: slices.Compact(gids), PID: pid, Label: label, identified: true,
	}, nil
}

// SetNames says which well-known names the caller owns on the bus, of one that no Callers has looked up: that is told
// by the bus. Until then they are not known, and a policy that looks at them can't be evaluated.
func (c *Caller) SetNames(names ...string) { c.names.Store(newBusNames(names)) }

// grantable tells whether a uid or gid can stand for somebody.
func grantable(id uint32) bool { return !account.IsNobody(id) }

func isUniqueName(name string) bool {
	return len(name) > 1 && len(name) <= maxBusName && name[0] == ':'
}

func noIdentity(name, why string) error {
	return fmt.Errorf("%w: %.*q: %s", ErrNoIdentity, maxBusName, name, why)
}
