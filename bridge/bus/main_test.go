package bus_test

import (
	"bytes"
	"context"
	"path/filepath"
	"testing"

	"github.com/godbus/dbus/v5"
	"go.uber.org/goleak"

	"qmp-dbus-bridge/bridge/bus"
	"qmp-dbus-bridge/e2e/rig"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The subjects of the tests: Alice is granted by her uid, Carol by her group,
// QEMU is in a granted group and in that of a helper too, Bob isn't granted anything.
var (
	bridge  = rig.Mail
	qemu    = rig.News
	helper  = rig.LP
	another = rig.UUCP // helper, by its group
	ui      = rig.Proxy
)

// shared is a bus with every kind of subject on it.
func shared(dir string) bus.Config {
	return bus.Config{
		Dir: dir, Bridge: bridge.UID, QEMU: &qemu.UID,
		Callers:  bus.Subjects{UIDs: []uint32{rig.Alice.UID}, GIDs: []uint32{rig.Carol.GID, qemu.GID}},
		Helpers:  bus.Subjects{UIDs: []uint32{helper.UID}, GIDs: []uint32{another.GID, qemu.GID}},
		Displays: bus.Subjects{UIDs: []uint32{ui.UID}},
	}
}

// private is a bus of the test's own user.
func private(dir string) bus.Config {
	return bus.Config{Dir: dir, Bridge: rig.Self().UID}
}

// start starts a bus in a new directory and ends it with the test.
func start(t testing.TB, config func(dir string) bus.Config) *bus.Daemon {
	t.Helper()
	rig.Require(t, "dbus-daemon")
	d, err := bus.Start(context.Background(), config(filepath.Join(rig.TempDir(t), "vm")))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Err(); err != nil {
			t.Log(err) // why it has gone, should the test fail for that
		}
		if err := d.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
	})
	return d
}

// onEachBus runs the test with the address of a bus on the shared
// configuration: dbus-daemon started by the package, and dbus-broker.
func onEachBus(t *testing.T, test func(t *testing.T, address string)) {
	t.Run("dbus-daemon", func(t *testing.T) {
		rig.RequireRoot(t)
		test(t, start(t, shared).Address())
	})
	t.Run("dbus-broker", func(t *testing.T) {
		config, err := shared("/run/vm").Render()
		if err != nil {
			t.Fatal(err)
		}
		test(t, startBroker(t, config).Address)
	})
}

// startBroker starts dbus-broker on a configuration. Up to 37 it can't let a group
// connect, whatever the rule says; what its members may do then is the same.
func startBroker(t *testing.T, config []byte) *rig.Bus {
	t.Helper()
	const deny, members = `<deny user="*"/>`, `<allow user="5"/><allow user="10"/>`
	config = bytes.Replace(config, []byte(deny), []byte(deny+members), 1)
	return rig.StartBroker(t, string(config))
}

const (
	objectPath = dbus.ObjectPath("/org/qemu/VM1")
	vmIface    = "org.qemu.VM1"
)

// service is the bridge's place taken by a trivial object.
type service struct{}

// Echo returns its argument.
func (service) Echo(s string) (string, *dbus.Error) { return s, nil }

const introspection = `<node><interface name="org.qemu.VM1"><method name="Echo">` +
	`<arg type="s" direction="in"/><arg type="s" direction="out"/></method>` +
	`<property name="Status" type="s" access="read"/></interface>` +
	`<interface name="org.freedesktop.DBus.Introspectable"><method name="Introspect"><arg type="s" direction="out"/></method></interface>` +
	`<interface name="org.freedesktop.DBus.Properties"><method name="GetAll"><arg type="s" direction="in"/><arg type="a{sv}" direction="out"/></method></interface></node>`

type introspectable struct{}

// Introspect describes service.
func (introspectable) Introspect() (string, *dbus.Error) { return introspection, nil }

type properties struct{}

// Get returns the one property there is.
func (properties) Get(_, _ string) (dbus.Variant, *dbus.Error) {
	return dbus.MakeVariant("running"), nil
}

// GetAll returns the one property there is.
func (properties) GetAll(string) (map[string]dbus.Variant, *dbus.Error) {
	return map[string]dbus.Variant{"Status": dbus.MakeVariant("running")}, nil
}

// serve connects as u, owns the name and serves the object.
func serve(t testing.TB, u rig.User, address, name string) *dbus.Conn {
	t.Helper()
	conn := u.MustDial(t, address)
	for iface, v := range map[string]any{
		vmIface:                               service{},
		"org.freedesktop.DBus.Introspectable": introspectable{},
		"org.freedesktop.DBus.Properties":     properties{},
	} {
		if err := conn.Export(v, objectPath, iface); err != nil {
			t.Fatal(err)
		}
	}
	reply, err := conn.RequestName(name, dbus.NameFlagDoNotQueue)
	if err != nil || reply != dbus.RequestNameReplyPrimaryOwner {
		t.Fatalf("uid %d owns %s: %v, %v", u.UID, name, reply, err)
	}
	return conn
}

// deadline is closed when the test has waited for too long.
func deadline(t testing.TB) <-chan struct{} {
	ctx, cancel := context.WithTimeout(context.Background(), rig.Timeout)
	t.Cleanup(cancel)
	return ctx.Done()
}
