package main

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"qmp-dbus-bridge/bridge"
	"qmp-dbus-bridge/bridge/access"
	"qmp-dbus-bridge/bridge/bus"
	"qmp-dbus-bridge/bridge/endpoint"
	"qmp-dbus-bridge/schema/wire"
)

// sharedFlags are those of serve and run.
type sharedFlags struct {
	sandboxFlags `embed:""`

	Bus        string   `placeholder:"ADDRESS" xor:"bus" help:"Serve on an existing bus: a D-Bus address, or session or system. Without it a private one is started."`
	BusDir     string   `placeholder:"DIR" xor:"bus" help:"Where the private bus has its socket, DIR/bus. Default: $$XDG_RUNTIME_DIR/qmp-dbus-bridge/NAME, for root /run/qmp-dbus-bridge/NAME."`
	Name       string   `placeholder:"NAME" help:"The VM's name in paths and policies. Default: what run's -name says, or vm."`
	BusName    string   `default:"${bus_name}" help:"The name to own on the bus."`
	ObjectPath string   `default:"${object_path}" help:"The path of the VM's object."`
	Grant      []string `placeholder:"ROLE=SUBJECT" sep:"none" help:"Give a role (viewer, operator, helper, admin) to uid:N, gid:N, user:NAME or group:NAME. Repeatable."`
	Policy     []string `placeholder:"FILE" sep:"none" help:"Cedar policies, added to the built-in ones. Repeatable."`
	Audit      string   `default:"stderr" placeholder:"DEST" help:"Where the audit goes: stderr (the default), journal, none or a file."`

	limitFlags `embed:""`

	grants    []access.Grant // of Grant
	givenName string         // what the command line gave QEMU
}

// check finds the mistakes that the parser can't see.
func (f *sharedFlags) check() error {
	if !wire.ValidBusName(f.BusName) || strings.HasPrefix(f.BusName, ":") {
		return fmt.Errorf("--bus-name %s: not a name that can be owned; an example is %s", f.BusName, bus.DefaultBusName)
	}
	if !wire.ValidPath(f.ObjectPath) || f.ObjectPath == "/" {
		return fmt.Errorf("--object-path %s: not an object path; an example is %s", f.ObjectPath, bridge.DefaultObjectPath)
	}
	switch f.Bus {
	case "", "session", "system":
	default:
		if _, err := endpoint.SocketPath(f.Bus); err != nil {
			return fmt.Errorf("--bus: %w; or say session or system", err)
		}
	}
	if err := f.read(); err != nil {
		return err
	}
	var err error
	f.grants, err = parseGrants(f.Grant)
	return err
}

// authorizer reads the policy.
func (f *sharedFlags) authorizer() (*access.Authorizer, error) {
	policy, err := access.New(access.Config{
		VM: f.vmName(), BridgeUID: uint32(os.Geteuid()), Grants: f.grants, Files: f.Policy,
	})
	if err != nil {
		return nil, fmt.Errorf("--policy: %w", err)
	}
	return policy, nil
}

// vmName is the name of the VM in paths and policies. What QEMU calls itself doesn't count:
// one that a guest has taken over must not choose whose policy applies, or whose directory is used.
func (f *sharedFlags) vmName() string { return cmp.Or(f.Name, f.givenName, "vm") }

// privateBus describes the bus to start for the VM of that name.
func (f *sharedFlags) privateBus(vm string, log *slog.Logger) (bus.Config, error) {
	dir := f.BusDir
	if dir == "" {
		runtime, err := runtimeDir()
		if err != nil {
			return bus.Config{}, err
		}
		dir = filepath.Join(runtime, "qmp-dbus-bridge", fileName(vm))
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return bus.Config{}, err
	}
	c := bus.Config{Dir: dir, BusName: f.BusName, Bridge: uint32(os.Geteuid()), Logger: log}
	for _, g := range f.grants {
		if g.Group {
			c.GIDs = append(c.GIDs, g.ID)
		} else {
			c.UIDs = append(c.UIDs, g.ID)
		}
	}
	return c, nil
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

// existingBus turns the value of --bus into an address.
func existingBus(value string) (string, error) {
	switch value {
	case "session":
		if a := os.Getenv("DBUS_SESSION_BUS_ADDRESS"); a != "" {
			return a, nil
		}
		return "", errors.New("--bus session: DBUS_SESSION_BUS_ADDRESS is not set; give the address itself")
	case "system":
		if a := os.Getenv("DBUS_SYSTEM_BUS_ADDRESS"); a != "" {
			return a, nil
		}
		return "unix:path=/var/run/dbus/system_bus_socket", nil // as the D-Bus specification has it
	default:
		return value, nil
	}
}
