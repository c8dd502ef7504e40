package bus_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/bridge/bus"
	"qmp-dbus-bridge/e2e/rig"
)

const limitsExceeded = "org.freedesktop.DBus.Error.LimitsExceeded"

// failsWith reports whether err is the D-Bus error of that name.
func failsWith(err error, name string) bool {
	var e dbus.Error
	return errors.As(err, &e) && e.Name == name
}

func TestConnectionsPerUser(t *testing.T) {
	d := start(t, private)
	for i := range 256 {
		if _, err := dialFor(t, d); err != nil {
			t.Fatalf("connection %d: %v", i+1, err)
		}
	}
	if _, err := dialFor(t, d); err == nil {
		t.Error("a 257th connection of one uid may connect")
	}
}

// dialFor connects as ourselves; the connection ends with the test.
func dialFor(t *testing.T, d *bus.Daemon) (*dbus.Conn, error) {
	conn, err := rig.Self().Dial(d.Address())
	if err == nil {
		t.Cleanup(func() { conn.Close() })
	}
	return conn, err
}

func TestMatchRules(t *testing.T) {
	conn := rig.Self().MustDial(t, start(t, private).Address())
	for i := range 512 {
		if err := addMatch(conn, i); err != nil {
			t.Fatalf("match rule %d: %v", i+1, err)
		}
	}
	if err := addMatch(conn, 512); !failsWith(err, limitsExceeded) {
		t.Errorf("match rule 513: %v, want %s", err, limitsExceeded)
	}
}

func addMatch(conn *dbus.Conn, i int) error {
	return conn.BusObject().Call(driver+".AddMatch", 0, fmt.Sprintf("type='signal',member='M%d'", i)).Err
}

// silent answers no call until it is released.
type silent struct{ released chan struct{} }

// Wait returns when the test lets it.
func (s silent) Wait() *dbus.Error { <-s.released; return nil }

func TestRepliesAwaited(t *testing.T) {
	address := start(t, private).Address()
	service := serve(t, rig.Self(), address, bus.DefaultBusName)
	released := make(chan struct{})
	if err := service.Export(silent{released}, objectPath, "org.qemu.VM1.Silent"); err != nil {
		t.Fatal(err)
	}
	conn := rig.Self().MustDial(t, address)
	done := make(chan *dbus.Call, 1025)
	object := conn.Object(bus.DefaultBusName, objectPath)
	for range 1024 {
		object.Go("org.qemu.VM1.Silent.Wait", 0, done)
	}
	if err := object.Call(vmIface+".Echo", 0, "x").Err; !failsWith(err, limitsExceeded) {
		t.Errorf("call 1025: %v, want %s", err, limitsExceeded)
	}
	close(released)
	for range 1024 {
		if err := (<-done).Err; err != nil {
			t.Fatalf("a call within the limit: %v", err)
		}
	}
}

// TestLargeReply: as large as the bridge sends, 32 MiB with the header.
func TestLargeReply(t *testing.T) {
	address := start(t, private).Address()
	service := serve(t, rig.Self(), address, bus.DefaultBusName)
	const size = 32<<20 - 256
	large := large(strings.Repeat("x", size))
	if err := service.Export(large, objectPath, "org.qemu.VM1.Large"); err != nil {
		t.Fatal(err)
	}
	var got string
	err := rig.Self().MustDial(t, address).Object(bus.DefaultBusName, objectPath).Call("org.qemu.VM1.Large.Get", 0).Store(&got)
	if err != nil || len(got) != size {
		t.Errorf("a reply of %d bytes: got %d, %v", size, len(got), err)
	}
}

type large string

// Get returns the whole.
func (l large) Get() (string, *dbus.Error) { return string(l), nil }

// TestSlowReader: one that doesn't read loses what is over its 8 MiB, and nobody
// else loses anything or waits.
func TestSlowReader(t *testing.T) {
	rig.Require(t, "gdbus")
	address := start(t, private).Address()
	service := serve(t, rig.Self(), address, bus.DefaultBusName)
	_, signals := listen(t, rig.Self(), address)
	slow := rig.Start(t, exec.Command("gdbus", "monitor", "-a", address, "-d", bus.DefaultBusName))
	rig.Eventually(t, "gdbus monitor subscribes", func() bool {
		emit(t, service, "", "org.qemu.VM1.First")
		return strings.Contains(slow.Output(), "First")
	})
	slow.Signal(t, unix.SIGSTOP)
	defer slow.Signal(t, unix.SIGKILL)

	blob := strings.Repeat("x", 256<<10)
	for range 128 {
		if err := service.Emit(objectPath, "org.qemu.VM1.Blob", blob); err != nil {
			t.Fatal(err)
		}
	}
	for blobs := 0; blobs < 128; {
		if strings.HasSuffix(next(t, signals).Name, ".Blob") {
			blobs++
		}
	}
}

// counter answers every call with how many descriptors came. It is a handler of
// godbus's at the lowest level, since that panics on an array of descriptors and its
// methods have a fixed number of arguments.
type counter struct{}

func (c counter) LookupObject(dbus.ObjectPath) (dbus.ServerObject, bool) { return c, true }

func (c counter) LookupInterface(string) (dbus.Interface, bool) { return c, true }

func (c counter) LookupMethod(string) (dbus.Method, bool) { return c, true }

func (counter) DecodeArguments(_ *dbus.Conn, _ string, _ *dbus.Message, args []any) ([]any, error) {
	return args, nil
}

func (counter) Call(args ...any) ([]any, error) {
	for _, fd := range args {
		_ = os.NewFile(uintptr(fd.(dbus.UnixFD)), "").Close()
	}
	return []any{int32(len(args))}, nil
}

func (counter) NumArguments() int     { return 0 }
func (counter) NumReturns() int       { return 1 }
func (counter) ArgumentValue(int) any { return nil }
func (counter) ReturnValue(int) any   { return int32(0) }

// TestDescriptors: 17, one more than the bridge takes, reach it, so that it can
// answer; dbus-daemon disconnects for 33.
func TestDescriptors(t *testing.T) {
	address := start(t, private).Address()
	service := rig.Self().MustDial(t, address, dbus.WithHandler(counter{}))
	if _, err := service.RequestName(bus.DefaultBusName, dbus.NameFlagDoNotQueue); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{16, 17, 32} {
		if got, err := count(t, address, n); err != nil || got != n {
			t.Errorf("%d descriptors: %d came, %v", n, got, err)
		}
	}
	if got, err := count(t, address, 33); err == nil {
		t.Errorf("33 descriptors: %d came", got)
	}
}

func count(t *testing.T, address string, n int) (int, error) {
	t.Helper()
	null, err := os.Open(os.DevNull)
	mustDo(t, err)
	defer null.Close()
	fds := make([]any, n)
	for i := range fds {
		fds[i] = dbus.UnixFD(null.Fd())
	}
	var got int32
	err = rig.Self().MustDial(t, address).Object(bus.DefaultBusName, objectPath).
		Call("org.qemu.VM1.Counter.Count", 0, fds...).Store(&got)
	return int(got), err
}
