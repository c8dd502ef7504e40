package bus

import (
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"github.com/godbus/dbus/v5"
)

// DefaultBusName is the name that the bridge owns unless Config.BusName says
// otherwise.
const DefaultBusName = "org.qemu.VM1"

// qemuName is QEMU's own name on the bus (-display dbus, dbus-vmstate).
const qemuName = "org.qemu"

// Uids and gids that never name a subject: the overflow id stands for whoever
// has no id in our user namespace, and -1 for "none" in every system call.
const (
	overflowID = 65534
	noID       = 1<<32 - 1
)

// maxSocketPath is what fits into sun_path with its terminating NUL, bytes
// (unix(7)).
const maxSocketPath = 107

// Modes of Config.Dir.
const (
	privateMode = 0o700 // for root and ourselves
	sharedMode  = 0o711 // others may pass, but not look
)

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
	// UIDs and GIDs are the granted subjects: they may connect and call the
	// bridge. Root and Bridge always may.
	UIDs, GIDs []uint32
	// QEMU is QEMU's own uid, nil if it isn't to be on the bus: it may own
	// org.qemu, and may not call the bridge, not even through a granted group.
	// It must not be in UIDs. Where it is 0 or Bridge, the same uid is a caller
	// as well.
	QEMU *uint32
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
	d.open("org.qemu.vm", c.Address())
	for _, l := range limits {
		d.limit(l.name, l.value)
	}
	c.defaultPolicy(&d)
	c.bridgePolicy(&d)
	for _, uid := range c.callers() {
		c.callerPolicy(&d, "user", uid)
	}
	for _, gid := range unique(c.GIDs) {
		c.callerPolicy(&d, "group", gid)
	}
	c.qemuPolicy(&d)
	mandatoryPolicy(&d)
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

// callers are the uids that may call the bridge, root and the bridge's own
// among them, sorted.
func (c Config) callers() []uint32 {
	return unique(append([]uint32{0, c.Bridge}, c.UIDs...))
}

// connectors are the uids that may connect, sorted.
func (c Config) connectors() []uint32 {
	uids := c.callers()
	if c.QEMU != nil {
		uids = unique(append(uids, *c.QEMU))
	}
	return uids
}

// dirMode is the mode of Dir: others than root and ourselves must pass only if
// they may connect.
func (c Config) dirMode() fs.FileMode {
	stranger := func(uid uint32) bool { return uid != 0 && int(uid) != os.Geteuid() }
	if len(c.GIDs) > 0 || slices.ContainsFunc(c.connectors(), stranger) {
		return sharedMode
	}
	return privateMode
}

func (c Config) check() error {
	if !filepath.IsAbs(c.Dir) {
		return fmt.Errorf("bus directory %q is not an absolute path", c.Dir)
	}
	if len(c.socket()) > maxSocketPath {
		return fmt.Errorf("bus socket %s: the path has %d bytes, a socket's at most %d", c.socket(), len(c.socket()), maxSocketPath)
	}
	if !validName(c.name()) || c.name() == qemuName {
		return fmt.Errorf("%q can't be the bridge's bus name", c.name())
	}
	if c.QEMU != nil && slices.Contains(c.UIDs, *c.QEMU) {
		return fmt.Errorf("uid %d is QEMU's own and may not call the bridge: it can't be granted a role", *c.QEMU)
	}
	return checkIDs(c.connectors(), c.GIDs)
}

func checkIDs(uids, gids []uint32) error {
	for _, uid := range uids {
		if uid == overflowID || uid == noID {
			return fmt.Errorf("uid %d stands for an unknown user and is never granted anything", uid)
		}
	}
	for _, gid := range gids {
		if gid == overflowID || gid == noID {
			return fmt.Errorf("gid %d stands for an unknown group and is never granted anything", gid)
		}
	}
	return nil
}

func unique(ids []uint32) []uint32 {
	ids = slices.Clone(ids)
	slices.Sort(ids)
	return slices.Compact(ids)
}
