package access_test

import (
	"errors"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"testing"

	"github.com/godbus/dbus/v5"

	"qmp-dbus-bridge/bridge/access"
	"qmp-dbus-bridge/e2e/rig"
)

func connect(t *testing.T, address string) *dbus.Conn {
	t.Helper()
	conn, err := dbus.Connect(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func TestDaemonLookup(t *testing.T) {
	address := rig.StartDaemon(t, rig.Permissive).Address
	gone := make(chan string, 16)
	callers, _ := runCallers(t, connect(t, address), access.CallersConfig{OnGone: func(name string) { gone <- name }})
	client := connect(t, address)
	name := client.Names()[0]
	caller, err := lookup(t, callers, name)
	if err != nil {
		t.Fatal(err)
	}
	if caller.Name != name || caller.UID != uint32(os.Geteuid()) || caller.PID != uint32(os.Getpid()) {
		t.Errorf("got %q uid %d pid %d, want %q uid %d pid %d",
			caller.Name, caller.UID, caller.PID, name, os.Geteuid(), os.Getpid())
	}
	client.Close()
	if got := within(t, gone); got != name {
		t.Fatalf("%q has gone, want %q", got, name)
	}
	if caller, err := lookup(t, callers, name); !errors.Is(err, access.ErrNoIdentity) {
		t.Errorf("after it went: %v, %v, want ErrNoIdentity", caller, err)
	}
}

// A signal that a client makes up does not make anybody forgotten.
func TestDaemonForgedSignal(t *testing.T) {
	address := rig.StartDaemon(t, rig.Permissive).Address
	gone := make(chan string, 16)
	bus := connect(t, address)
	callers, _ := runCallers(t, bus, access.CallersConfig{OnGone: func(name string) { gone <- name }})
	forger, leaver := connect(t, address), connect(t, address)
	name, last := forger.Names()[0], leaver.Names()[0]
	first, err := lookup(t, callers, name)
	if err != nil {
		t.Fatal(err)
	}
	if err := forger.Emit("/org/freedesktop/DBus", "org.freedesktop.DBus.NameOwnerChanged", name, name, ""); err != nil {
		t.Fatal(err)
	}
	sendTo(t, forger, bus.Names()[0], name, name, "")
	if err := forger.BusObject().Call("org.freedesktop.DBus.GetId", 0).Err; err != nil { // both have passed
		t.Fatal(err)
	}
	leaver.Close()
	if got := within(t, gone); got != last {
		t.Fatalf("%q has gone, want %q", got, last)
	}
	if second, err := callers.Lookup(name, nil); second != first || err != nil {
		t.Errorf("after the forged signals: %p, %v, want %p", second, err, first)
	}
}

// sendTo sends a forged NameOwnerChanged to one connection.
func sendTo(t *testing.T, from *dbus.Conn, destination string, body ...any) {
	t.Helper()
	message := &dbus.Message{Type: dbus.TypeSignal, Body: body, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldDestination: dbus.MakeVariant(destination),
		dbus.FieldPath:        dbus.MakeVariant(dbus.ObjectPath("/org/freedesktop/DBus")),
		dbus.FieldInterface:   dbus.MakeVariant("org.freedesktop.DBus"),
		dbus.FieldMember:      dbus.MakeVariant("NameOwnerChanged"),
		dbus.FieldSignature:   dbus.MakeVariant(dbus.SignatureOf(body...)),
	}}
	if call := from.Send(message, nil); call.Err != nil {
		t.Fatal(call.Err)
	}
}

func TestDaemonEnds(t *testing.T) {
	daemon := rig.StartDaemon(t, rig.Permissive)
	callers := access.NewCallers(connect(t, daemon.Address), access.CallersConfig{})
	ended := make(chan error, 1)
	go func() { ended <- callers.Run(t.Context()) }()
	client := connect(t, daemon.Address)
	if _, err := lookup(t, callers, client.Names()[0]); err != nil {
		t.Fatal(err)
	}
	daemon.Signal(t, syscall.SIGKILL)
	if err := within(t, ended); err == nil {
		t.Error("Run returned no error")
	}
	if _, err := callers.Lookup(client.Names()[0], nil); !errors.Is(err, access.ErrNoIdentity) {
		t.Errorf("afterwards: %v, want ErrNoIdentity", err)
	}
}

// Another process with a uid and groups of its own, as the kernel saw it when it connected.
func TestDaemonOtherUser(t *testing.T) {
	rig.RequireRoot(t)
	rig.Require(t, "gdbus")
	address := rig.StartDaemon(t, rig.Permissive).Address
	callers, _ := runCallers(t, connect(t, address), access.CallersConfig{})
	watch := connect(t, address)
	joined := make(chan *dbus.Signal, 16)
	watch.Signal(joined)
	if err := watch.AddMatchSignal(dbus.WithMatchMember("NameOwnerChanged")); err != nil {
		t.Fatal(err)
	}
	client := exec.Command("gdbus", "monitor", "--address", address, "--dest", "org.freedesktop.DBus")
	client.SysProcAttr = &syscall.SysProcAttr{
		// dbus-daemon 1.14 refuses uids that have no name; 1 is daemon, 2 bin.
		Credential: &syscall.Credential{Uid: 1, Gid: 2, Groups: []uint32{1236, 65534}},
	}
	if err := client.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Process.Kill(); _ = client.Wait() }()
	signal := within(t, joined)
	for signal.Name != "org.freedesktop.DBus.NameOwnerChanged" {
		signal = within(t, joined)
	}
	caller, err := lookup(t, callers, signal.Body[0].(string))
	if err != nil {
		t.Fatal(err)
	}
	if caller.UID != 1 || !slices.Equal(caller.GIDs, []uint32{2, 1236}) || caller.PID != uint32(client.Process.Pid) {
		t.Errorf("uid %d gids %v pid %d, want 1 [2 1236] %d", caller.UID, caller.GIDs, caller.PID, client.Process.Pid)
	}
}
