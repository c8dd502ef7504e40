package bus_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"

	"qmp-dbus-bridge/bridge/bus"
	"qmp-dbus-bridge/e2e/rig"
)

const (
	driver      = "org.freedesktop.DBus"
	vmstatePath = dbus.ObjectPath("/org/qemu/VMState1")
)

// actors are the subjects in the order of the verdicts below.
var actors = []struct {
	name string
	user rig.User
}{
	{"root", rig.Root},
	{"bridge", bridge},
	{"granted uid", rig.Alice},
	{"granted gid", rig.Carol},
	{"helper", helper},
	{"helper by gid", another},
	{"display", ui},
	{"qemu", qemu},
}

// verdicts has a line for each thing to call; '-' is where the bus denies it and '+' where it
// doesn't, for each of actors. No interface in method means a call without INTERFACE.
var verdicts = []struct {
	destination string
	path        dbus.ObjectPath
	method      string
	args        []any
	want        string
}{
	// Monitoring, with a flag that there is not, so that the connection stays what it is. Of
	// those that the policy allows it to, the buses let only root and their own uid.
	{driver, "/org/freedesktop/DBus", driver + ".Monitoring.BecomeMonitor", []any{[]string{}, uint32(1)}, "+-------"},

	// Not even root.
	{driver, "/org/freedesktop/DBus", "BecomeMonitor", []any{[]string{}, uint32(0)}, "--------"},
	{driver, "/org/freedesktop/DBus", driver + ".Debug.Stats.GetStats", nil, "--------"},
	{driver, "/org/freedesktop/DBus", driver + ".Verbose.EnableVerbose", nil, "--------"},
	{driver, "/org/freedesktop/DBus", driver + ".UpdateActivationEnvironment", []any{map[string]string{"A": "B"}}, "--------"},
	{driver, "/org/freedesktop/DBus", driver + ".ReloadConfig", nil, "--------"},
	{driver, "/org/freedesktop/DBus", "ReloadConfig", nil, "--------"},
	{driver, "/org/freedesktop/DBus", driver + ".Properties.Set", []any{driver, "Features", dbus.MakeVariant("x")}, "--------"},

	// Names.
	{driver, "/org/freedesktop/DBus", driver + ".RequestName", []any{"com.example.Other", uint32(0)}, "--------"},
	{driver, "/org/freedesktop/DBus", driver + ".RequestName", []any{"org.qemu.VM1", uint32(dbus.NameFlagReplaceExisting)}, "-+------"},
	{driver, "/org/freedesktop/DBus", driver + ".RequestName", []any{"org.qemu", uint32(dbus.NameFlagDoNotQueue)}, "-------+"},

	{driver, "/org/freedesktop/DBus", driver + ".RequestName", []any{"org.qemu.Helper1.a", uint32(0)}, "----++--"},
	{driver, "/org/freedesktop/DBus", driver + ".RequestName", []any{"org.qemu.Helper1", uint32(0)}, "----++--"},
	{driver, "/org/freedesktop/DBus", driver + ".RequestName", []any{"org.qemu.VMState1", uint32(0)}, "----++--"},
	{driver, "/org/freedesktop/DBus", driver + ".RequestName", []any{"org.qemu.VM1", uint32(0)}, "-+------"},
	{driver, "/org/freedesktop/DBus", driver + ".ListQueuedOwners", []any{"org.qemu.VMState1"}, "-+-----+"},

	// What others are.
	{driver, "/org/freedesktop/DBus", driver + ".GetConnectionCredentials", []any{"org.qemu.VM1"}, "++------"},
	{driver, "/org/freedesktop/DBus", driver + ".GetConnectionUnixUser", []any{"org.qemu.VM1"}, "++------"},
	{driver, "/org/freedesktop/DBus", driver + ".GetConnectionUnixProcessID", []any{"org.qemu.VM1"}, "++------"},

	// The bridge, by its name and by its unique name, which is :1.? in dest.
	{"org.qemu.VM1", objectPath, vmIface + ".Echo", []any{"x"}, "+++++++-"},
	{"BRIDGE", objectPath, vmIface + ".Echo", []any{"x"}, "+++++++-"},
	{"org.qemu.VM1", objectPath, "Echo", []any{"x"}, "+++++++-"},
	{"org.qemu.VM1", objectPath, driver + ".Introspectable.Introspect", nil, "+++++++-"},
	{"org.qemu.VM1", objectPath, driver + ".Properties.Set", []any{vmIface, "Status", dbus.MakeVariant("x")}, "+++++++-"},

	// QEMU's own name, and a peer that owns none.
	{"org.qemu", objectPath, vmIface + ".Echo", []any{"x"}, "++------"},
	{"QEMU", objectPath, vmIface + ".Echo", []any{"x"}, "++------"},
	{"PEER", objectPath, vmIface + ".Echo", []any{"x"}, "--------"},

	// QEMU's display, and a character device there that may be a QMP monitor.
	{"org.qemu", "/org/qemu/Display1/VM", driver + ".Properties.GetAll", []any{"org.qemu.Display1.VM"}, "++----+-"},
	{"org.qemu", "/org/qemu/Display1/Console_0", "org.qemu.Display1.Keyboard.Press", []any{uint32(1)}, "++----+-"},
	{"org.qemu", "/org/qemu/Display1/Console_0", "Press", []any{uint32(1)}, "++------"},
	{"QEMU", "/org/qemu/Display1/Console_0", "org.qemu.Display1.Console.SetUIInfo", nil, "++----+-"},
	{"org.qemu", "/org/qemu/Display1/Chardev_qmp", "org.qemu.Display1.Chardev.Register", nil, "++------"},

	// Helpers: the first in the queue and one behind it, by their unique names, and by the names
	// that they own. What has the object's path but is no helper.
	{"org.qemu.VMState1", vmstatePath, "org.qemu.VMState1.Save", nil, "-------+"},
	{"HELPER", vmstatePath, "org.qemu.VMState1.Save", nil, "-------+"},
	{"QUEUED", vmstatePath, "org.qemu.VMState1.Save", nil, "-------+"},
	{"QUEUED", vmstatePath, driver + ".Properties.GetAll", []any{"org.qemu.VMState1"}, "-------+"},
	{"HELPER", vmstatePath, driver + ".Properties.Get", []any{"org.qemu.VMState1", "Id"}, "-+-----+"},
	{"QUEUED", vmstatePath, driver + ".Properties.Get", []any{"org.qemu.VMState1", "Id"}, "-+-----+"},
	{"QUEUED", vmstatePath, driver + ".Properties.Set", []any{"org.qemu.VMState1", "Id", dbus.MakeVariant("x")}, "-------+"},
	{"QUEUED", vmstatePath, "Get", []any{"org.qemu.VMState1", "Id"}, "-------+"},
	{"QUEUED", objectPath, driver + ".Properties.Get", []any{"org.qemu.VMState1", "Id"}, "--------"},
	{"org.qemu.Helper1.b", objectPath, vmIface + ".Echo", []any{"x"}, "--------"},
	{"QUEUED", objectPath, vmIface + ".Echo", []any{"x"}, "--------"},
	{"org.qemu.VM1", vmstatePath, "org.qemu.VMState1.Save", nil, "+++++++-"},
	{"BRIDGE", vmstatePath, "org.qemu.VMState1.Save", nil, "+++++++-"},
	{"PEER", vmstatePath, "org.qemu.VMState1.Save", nil, "--------"},
	{driver, vmstatePath, driver + ".GetConnectionCredentials", []any{"org.qemu.VM1"}, "++------"},
	{driver, vmstatePath, driver + ".GetConnectionUnixUser", []any{"org.qemu.VM1"}, "++------"},

	// What every client needs.
	{driver, "/org/freedesktop/DBus", driver + ".ListNames", nil, "++++++++"},
	{driver, "/org/freedesktop/DBus", driver + ".ListActivatableNames", nil, "++++++++"},
	{driver, "/org/freedesktop/DBus", driver + ".NameHasOwner", []any{"org.qemu.VM1"}, "++++++++"},
	{driver, "/org/freedesktop/DBus", driver + ".GetNameOwner", []any{"org.qemu.VM1"}, "++++++++"},
	{driver, "/org/freedesktop/DBus", driver + ".StartServiceByName", []any{"org.qemu.VM1", uint32(0)}, "++++++++"},
	{driver, "/org/freedesktop/DBus", driver + ".AddMatch", []any{"type='signal'"}, "++++++++"},
	{driver, "/org/freedesktop/DBus", driver + ".RemoveMatch", []any{"type='signal'"}, "++++++++"},
	{driver, "/org/freedesktop/DBus", driver + ".GetId", nil, "++++++++"},
	{driver, "/org/freedesktop/DBus", driver + ".Peer.Ping", nil, "++++++++"},
	{driver, "/org/freedesktop/DBus", driver + ".Introspectable.Introspect", nil, "++++++++"},
	{driver, "/org/freedesktop/DBus", driver + ".Properties.Get", []any{driver, "Features"}, "++++++++"},
	{driver, "/org/freedesktop/DBus", driver + ".Properties.GetAll", []any{driver}, "++++++++"},
}

func TestVerdicts(t *testing.T) {
	onEachBus(t, func(t *testing.T, address string) {
		unique := map[string]string{
			"BRIDGE": serve(t, bridge, address, bus.DefaultBusName).Names()[0],
			"QEMU":   serve(t, qemu, address, "org.qemu").Names()[0],
			"PEER":   rig.Carol.MustDial(t, address).Names()[0],
			"HELPER": serve(t, helper, address, "org.qemu.VMState1").Names()[0],
		}
		queued := serve(t, another, address, "org.qemu.Helper1.b")
		if reply, err := queued.RequestName("org.qemu.VMState1", 0); err != nil || reply != dbus.RequestNameReplyInQueue {
			t.Fatalf("a second helper queues: %v, %v", reply, err)
		}
		unique["QUEUED"] = queued.Names()[0]
		conns := make([]*dbus.Conn, len(actors))
		for i, a := range actors {
			conns[i] = a.user.MustDial(t, address)
		}
		for _, v := range verdicts {
			dest := v.destination
			if name, ok := unique[dest]; ok {
				dest = name
			}
			var got strings.Builder
			for _, conn := range conns {
				got.WriteByte(verdict(conn.Object(dest, v.path).Call(v.method, 0, v.args...).Err))
			}
			if got.String() != v.want {
				t.Errorf("%s %s(%v): %s, want %s", v.destination, v.method, v.args, got.String(), v.want)
			}
		}
	})
}

// names that are like those that somebody may own: dbus-daemon takes own="org.qemu" for
// that name alone, dbus-broker for those below too. Nobody else gains by that, and nobody
// gets at the bridge's or the helpers' names.
var names = []struct{ name, onDaemon, onBroker string }{
	{"org.qemu.VM1.Helper", "--------", "-+------"},
	{"org.qemu.VM1x", "--------", "-------+"},
	{"org.qemu.Helper12", "--------", "-------+"},
	{"org.qemu.Helper1.a.b", "----++--", "----++--"},
	{"org.qemu.VMState1.a", "--------", "----++--"},
	{"org.qemu.Other", "--------", "-------+"},
	{"org.qemux", "--------", "--------"},
}

func TestNamesNearby(t *testing.T) {
	onEachBus(t, func(t *testing.T, address string) {
		for _, n := range names {
			want := n.onDaemon
			if strings.HasSuffix(t.Name(), "broker") {
				want = n.onBroker
			}
			var got strings.Builder
			for _, a := range actors {
				_, err := a.user.MustDial(t, address).RequestName(n.name, 0)
				got.WriteByte(verdict(err))
			}
			if got.String() != want {
				t.Errorf("own %s: %s, want %s", n.name, got.String(), want)
			}
		}
	})
}

// verdict is the bus's part in how a call ended.
func verdict(err error) byte {
	var e dbus.Error
	switch {
	case err == nil:
		return '+'
	case !errors.As(err, &e):
		return '?' // disconnected
	case e.Name == driver+".Error.AccessDenied":
		return '-'
	default:
		return '+'
	}
}

func TestStrangerMayNotConnect(t *testing.T) {
	onEachBus(t, func(t *testing.T, address string) {
		for _, u := range []rig.User{rig.Bob, {UID: 65534, GID: 65534}, {UID: 12345, GID: rig.Alice.GID}} {
			conn, err := u.Dial(address)
			if err == nil {
				conn.Close()
				t.Errorf("uid %d gid %d may connect", u.UID, u.GID)
			}
		}
	})
}

func TestSignals(t *testing.T) {
	onEachBus(t, func(t *testing.T, address string) {
		service := serve(t, bridge, address, bus.DefaultBusName)
		alice, own := listen(t, rig.Alice, address)
		_, carols := listen(t, rig.Carol, address)
		_, qemus := listen(t, qemu, address)
		foreign := rig.Carol.MustDial(t, address)

		emit(t, foreign, "", "org.qemu.VM1.Forged")
		emit(t, foreign, alice.Names()[0], "org.qemu.VM1.Forged")
		emit(t, alice, "", "com.example.Chat.Hello")
		flush(t, foreign)
		flush(t, alice)
		emit(t, service, "", "com.example.NotOurs.Event")
		emit(t, service, "", "org.qemu.VM1.QMP.Events.Stop")
		emit(t, service, alice.Names()[0], "org.qemu.VM1.QMP.Events.Secret")
		emit(t, service, "", "org.freedesktop.DBus.Properties.PropertiesChanged")
		emit(t, service, "", "org.freedesktop.DBus.ObjectManager.InterfacesAdded")
		emit(t, service, "", "org.qemu.VM1.Last")

		expect(t, own, "Stop", "Secret", "PropertiesChanged", "InterfacesAdded", "Last")
		expect(t, carols, "Stop", "PropertiesChanged", "InterfacesAdded", "Last")
		flush(t, service)
		select {
		case s := <-qemus:
			t.Errorf("QEMU got %s", s.Name)
		default:
		}
	})
}

// listen connects and gives all signals that come but the bus's own.
func listen(t *testing.T, u rig.User, address string) (*dbus.Conn, <-chan *dbus.Signal) {
	t.Helper()
	conn := u.MustDial(t, address)
	if err := conn.AddMatchSignal(dbus.WithMatchPathNamespace("/org/qemu")); err != nil {
		t.Fatal(err)
	}
	signals := make(chan *dbus.Signal, 1024)
	conn.Signal(signals)
	return conn, signals
}

// emit sends a signal, to all if there is no destination.
func emit(t *testing.T, conn *dbus.Conn, destination, name string) {
	t.Helper()
	i := strings.LastIndexByte(name, '.')
	msg := &dbus.Message{Type: dbus.TypeSignal, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldPath:      dbus.MakeVariant(objectPath),
		dbus.FieldInterface: dbus.MakeVariant(name[:i]),
		dbus.FieldMember:    dbus.MakeVariant(name[i+1:]),
	}}
	if destination != "" {
		msg.Headers[dbus.FieldDestination] = dbus.MakeVariant(destination)
	}
	if call := conn.Send(msg, nil); call != nil && call.Err != nil {
		t.Fatal(call.Err)
	}
}

// flush returns when the bus has dealt with all that conn has sent.
func flush(t *testing.T, conn *dbus.Conn) {
	t.Helper()
	if err := conn.BusObject().Call(driver+".Peer.Ping", 0).Err; err != nil {
		t.Fatal(err)
	}
}

// expect takes signals until the last of the members has come.
func expect(t *testing.T, signals <-chan *dbus.Signal, members ...string) {
	t.Helper()
	for _, want := range members {
		s := next(t, signals)
		if !strings.HasSuffix(s.Name, "."+want) {
			t.Errorf("got signal %s, want %s", s.Name, want)
		}
	}
}

func next(t *testing.T, signals <-chan *dbus.Signal) (s *dbus.Signal) {
	t.Helper()
	select {
	case s = <-signals:
	case <-deadline(t):
		t.Fatal("no signal")
	}
	return s
}
