package bus

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/godbus/dbus/v5"

	"qmp-dbus-bridge/bridge/account"
)

// DefaultBusName is the name that the bridge owns unless Config.BusName says
// otherwise.
const DefaultBusName = "org.qemu.VM1"

// Names on the bus that are not the bridge's.
const (
	qemuName     = "org.qemu"          // QEMU's own (-display dbus)
	helperPrefix = "org.qemu.Helper1"  // helpers own this and names below
	vmstateName  = "org.qemu.VMState1" // helpers whose state migrates queue for it (dbus-vmstate)

	vmstatePath = "/org/qemu/VMState1" // where they have their object
)

// maxSocketPath is what fits into sun_path with its terminating NUL, bytes
// (unix(7)).
const maxSocketPath = 107

// Config describes the private bus of one VM. The zero value lacks Dir.
type Config struct {
	// Dir is the absolute path of the bus's own directory; its socket is
	// DIR/bus, at most 107 bytes long.
	Dir string
	// BusName is the well-known name that only the bridge may own;
	// empty means [DefaultBusName].
	BusName string
	// Bridge is the uid of the bridge.
	Bridge uint32
	// Callers may connect and call the bridge. Root and Bridge always may.
	Callers Subjects
	// Helpers are callers that may also own org.qemu.Helper1 and names below it,
	// queue for org.qemu.VMState1, and be called by QEMU.
	Helpers Subjects
	// Displays are callers that may also use the display of a QEMU that is on the bus.
	Displays Subjects
	// QEMU is QEMU's own uid, nil if it isn't to be on the bus: it may own
	// org.qemu, and may not call the bridge, not even through a granted group.
	// It must not be granted anything itself. Where it is 0 or Bridge, the same
	// uid is a caller as well.
	QEMU *uint32
	// User is the uid that dbus-daemon is to run as, nil for that of whoever starts it.
	User *uint32
	// Group is the group that Dir is open to, nil to open it as far as the
	// subjects need: to nobody, or to all.
	Group *uint32
	// SELinux is the context that may own BusName, for buses that ask SELinux; empty
	// leaves that to its policy.
	SELinux string
	// Logger gets what dbus-daemon writes to its standard error; nil discards it.
	Logger *slog.Logger
}

// Render returns a complete configuration for dbus-daemon. dbus-broker gives
// the same verdicts on it. It reads nothing but c.
func (c Config) Render() ([]byte, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	var d document
	d.open("org.qemu.vm", c.Address(), c.User)
	for _, l := range limits {
		d.limit(l.name, l.value)
	}
	c.defaultPolicy(&d)
	c.bridgePolicy(&d)
	c.callers().each(func(kind string, id uint32) { c.callerPolicy(&d, kind, id) })
	c.Helpers.each(func(kind string, id uint32) { helperPolicy(&d, kind, id) })
	if c.QEMU != nil {
		c.Displays.each(func(kind string, id uint32) { displayPolicy(&d, kind, id) })
		c.qemuPolicy(&d, *c.QEMU)
	}
	mandatoryPolicy(&d)
	d.selinux(c.name(), c.SELinux)
	return d.close(), nil
}

// Address is the D-Bus address of the bus that Start starts for c.
func (c Config) Address() string {
	return "unix:path=" + dbus.EscapeBusAddressValue(c.socket())
}

func (c Config) socket() string { return filepath.Join(c.Dir, "bus") }

func (c Config) name() string {
	if c.BusName == "" {
		return DefaultBusName
	}
	return c.BusName
}

// callers are all that may call the bridge, root and the bridge's own uid among them.
func (c Config) callers() Subjects {
	return Subjects{
		UIDs: unique(slices.Concat([]uint32{0, c.Bridge}, c.Callers.UIDs, c.Helpers.UIDs, c.Displays.UIDs)),
		GIDs: unique(slices.Concat(c.Callers.GIDs, c.Helpers.GIDs, c.Displays.GIDs)),
	}
}

// connectors are all that may connect.
func (c Config) connectors() Subjects {
	s := c.callers()
	if c.QEMU != nil {
		s.UIDs = unique(append(s.UIDs, *c.QEMU))
	}
	return s
}

func (c Config) check() error {
	if !filepath.IsAbs(c.Dir) {
		return fmt.Errorf("bus directory %q is not an absolute path", c.Dir)
	}
	if len(c.socket()) > maxSocketPath {
		return fmt.Errorf("bus socket %s: the path has %d bytes, a socket's at most %d", c.socket(), len(c.socket()), maxSocketPath)
	}
	if !validName(c.name()) || otherName(c.name()) {
		return fmt.Errorf("%q can't be the bridge's bus name", c.name())
	}
	if c.QEMU != nil && *c.QEMU != 0 && *c.QEMU != c.Bridge && c.granted(*c.QEMU) {
		return fmt.Errorf("uid %d is QEMU's own and may not call the bridge: it can't be granted a role", *c.QEMU)
	}
	if strings.ContainsFunc(c.SELinux, unicode.IsControl) || !utf8.ValidString(c.SELinux) {
		return fmt.Errorf("%q is no SELinux context; an example is system_u:system_r:qmp_bridge_t:s0", c.SELinux)
	}
	s := c.connectors()
	if c.User != nil {
		s.UIDs = append(s.UIDs, *c.User)
	}
	if c.Group != nil {
		s.GIDs = append(s.GIDs, *c.Group)
	}
	return s.check()
}

// granted reports whether a uid is granted anything by number.
func (c Config) granted(uid uint32) bool {
	return slices.Contains(slices.Concat(c.Callers.UIDs, c.Helpers.UIDs, c.Displays.UIDs), uid)
}

// otherName reports whether a name is QEMU's or the helpers'.
func otherName(name string) bool {
	return name == qemuName || name == vmstateName || name == helperPrefix || strings.HasPrefix(name, helperPrefix+".")
}

func (s Subjects) check() error {
	for _, uid := range s.UIDs {
		if account.IsNobody(uid) {
			return fmt.Errorf("uid %d stands for an unknown user and is never granted anything", uid)
		}
	}
	for _, gid := range s.GIDs {
		if account.IsNobody(gid) {
			return fmt.Errorf("gid %d stands for an unknown group and is never granted anything", gid)
		}
	}
	return nil
}
