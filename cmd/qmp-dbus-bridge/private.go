package main

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"qmp-dbus-bridge/bridge/access"
	"qmp-dbus-bridge/bridge/account"
	"qmp-dbus-bridge/bridge/bus"
	"qmp-dbus-bridge/bridge/policytext"
	"qmp-dbus-bridge/schema/wire"
)

// privateFlags say who is on the VM's private bus, and where that is: those of serve, run and
// bus-config.
type privateFlags struct {
	BusDir         string   `placeholder:"DIR" xor:"bus" help:"Where the private bus has its socket, DIR/bus. Default: $$XDG_RUNTIME_DIR/qmp-dbus-bridge/NAME, for root /run/qmp-dbus-bridge/NAME."`
	BusUser        string   `placeholder:"USER" help:"The user (a name or uid) that the private bus runs as, if it is started by root."`
	BusGroup       string   `placeholder:"GROUP" help:"The group (a name or gid) that the private bus's directory is open to; all who are granted a role must be in it. Without it others may pass that directory, if there is a grant, and are refused by the bus."`
	Name           string   `placeholder:"NAME" help:"The VM's name in paths and policies. Default: what run's -name says, or vm."`
	BusName        string   `default:"${bus_name}" help:"The name to own on the bus."`
	Grant          []string `placeholder:"ROLE=SUBJECT" sep:"none" help:"Give a role (viewer, operator, helper, admin) to uid:N, gid:N, user:NAME or group:NAME. Repeatable."`
	QEMUUser       string   `name:"qemu-user" placeholder:"USER" help:"QEMU's own user (a name or uid), which may not call the bridge. Default: the one that QEMU's monitor or process shows."`
	SELinuxContext string   `name:"selinux-context" placeholder:"CONTEXT" help:"The SELinux context that may own the name on the private bus."`

	grants        []access.Grant // of Grant
	user, group   *uint32        // of BusUser and BusGroup; nil if not given
	givenQEMU     *uint32        // of QEMUUser; nil if not given
	givenName     string         // what the command line gave QEMU
	bridgeAccount uint32         // the bridge's uid
}

// check finds the mistakes that the parser can't see.
func (f *privateFlags) check() error {
	f.bridgeAccount = uint32(os.Geteuid())
	if !wire.ValidBusName(f.BusName) || strings.HasPrefix(f.BusName, ":") {
		return fmt.Errorf("--bus-name %s: not a name that can be owned; an example is %s", f.BusName, bus.DefaultBusName)
	}
	var err error
	if f.grants, err = parseGrants(f.Grant); err != nil {
		return err
	}
	return accounts{
		{"--bus-user", f.BusUser, account.ParseUser, &f.user},
		{"--bus-group", f.BusGroup, account.ParseGroup, &f.group},
		{"--qemu-user", f.QEMUUser, account.ParseUser, &f.givenQEMU},
	}.resolve()
}

// vmName is the name of the VM in paths and policies. What QEMU calls itself doesn't count:
// one that a guest has taken over must not choose whose policy applies, or whose directory is used.
func (f *privateFlags) vmName() string { return cmp.Or(f.Name, f.givenName, "vm") }

// privateBus describes the bus to start for the VM, whose QEMU has that uid; nil if unknown.
func (f *privateFlags) privateBus(qemu *uint32) (bus.Config, error) {
	dir := f.BusDir
	if dir == "" {
		runtime, err := runtimeDir()
		if err != nil {
			return bus.Config{}, err
		}
		dir = filepath.Join(runtime, "qmp-dbus-bridge", fileName(f.vmName()))
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return bus.Config{}, err
	}
	c := bus.Config{
		Dir: dir, BusName: f.BusName, Bridge: f.bridgeAccount,
		QEMU: qemu, User: f.user, Group: f.group, SELinux: f.SELinuxContext,
	}
	for _, g := range f.grants {
		switch g.Role {
		case policytext.RoleHelper:
			c.Helpers = c.Helpers.Add(g.Group, g.ID)
		case policytext.RoleOperator, policytext.RoleAdmin:
			c.Displays = c.Displays.Add(g.Group, g.ID)
		default:
			c.Callers = c.Callers.Add(g.Group, g.ID)
		}
	}
	return c, nil
}

// tellUnknown logs which grants nobody can use on a private bus: dbus-daemon lets in only whom the database has.
func (f *privateFlags) tellUnknown(log *slog.Logger) {
	for _, g := range f.grants {
		if !account.IsKnown(g.Group, g.ID) {
			log.Warn("nobody gets in by a grant: the user database, by which dbus-daemon goes, lacks whom it names", "grant", g.String())
		}
	}
}

// runtimeDir is where programs of this user keep sockets.
func runtimeDir() (string, error) {
	if os.Geteuid() == 0 {
		return "/run", nil
	}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		return dir, nil
	}
	return "", errors.New("XDG_RUNTIME_DIR is not set: say with --bus-dir where the private bus shall have its socket")
}

// fileName makes any name one harmless element of a path: what is not a letter, a digit,
// '-' or '.' becomes _xx, and so does a leading '.'. A name may hold anything.
func fileName(name string) string {
	var b strings.Builder
	for i := range len(name) {
		c := name[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '.' && i > 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "_%02x", c)
		}
	}
	return b.String()
}
