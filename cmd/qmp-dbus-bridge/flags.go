package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"qmp-dbus-bridge/bridge"
	"qmp-dbus-bridge/bridge/access"
	"qmp-dbus-bridge/bridge/endpoint"
	"qmp-dbus-bridge/schema/wire"
)

// sharedFlags are those of serve and run.
type sharedFlags struct {
	sandboxFlags `embed:""`
	privateFlags `embed:""`
	listenFlags  `embed:""`

	Bus        string      `placeholder:"ADDRESS" xor:"bus" help:"Serve on an existing bus: a D-Bus address, or session or system. Without it a private one is started."`
	ObjectPath string      `default:"${object_path}" help:"The path of the VM's object."`
	Policy     []string    `placeholder:"FILE" sep:"none" help:"Cedar policies, added to the built-in ones. Repeatable."`
	Audit      string      `default:"stderr" placeholder:"DEST" help:"Where the audit goes: stderr (the default), journal, none or a file, whose path has a /."`
	VMState    vmstateFlag `name:"vmstate" placeholder:"ID,..." help:"Have QEMU migrate the state of helpers that queue for org.qemu.VMState1: add a dbus-vmstate object, unless it has one. All of them, or by --vmstate=ID,ID these, which must be there. 64 at most, 16 of one user."`

	limitFlags `embed:""`
}

// check finds the mistakes that the parser can't see.
func (f *sharedFlags) check() error {
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
	switch f.Audit {
	case "stderr", "journal", "none":
	default: // a misspelt word is no file
		if !strings.Contains(f.Audit, "/") {
			return fmt.Errorf("--audit %s: want stderr, journal, none or a path with a /", f.Audit)
		}
	}
	if err := errors.Join(f.read(), f.listenFlags.check()); err != nil {
		return err
	}
	if f.Bus == "" && f.limits.Message > endpoint.MaxMessage {
		return fmt.Errorf("--limit message: the private bus disconnects who sends more than %d bytes: leave it out, or bring a bus of your own by --bus", endpoint.MaxMessage)
	}
	if f.Bus != "" && f.BusUser+f.BusGroup+f.SELinuxContext != "" {
		return errors.New("--bus-user, --bus-group and --selinux-context are for a private bus: leave out --bus, or them")
	}
	return f.privateFlags.check()
}

// authorizer reads the policy for the VM, whose QEMU has that uid; nil if unknown.
func (f *sharedFlags) authorizer(qemu *uint32) (*access.Authorizer, error) {
	policy, err := access.New(access.Config{
		VM: f.vmName(), BridgeUID: uint32(os.Geteuid()), Grants: f.grants, Files: f.Policy, QEMU: qemu,
	})
	if err != nil {
		return nil, policyFault(err)
	}
	return policy, nil
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
