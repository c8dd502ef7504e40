package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
	"github.com/rogpeppe/go-internal/testscript"

	"qmp-dbus-bridge/e2e/rig"
)

const (
	busName       = "org.qemu.VM1"
	vmPath        = dbus.ObjectPath("/org/qemu/VM1")
	qmpPath       = dbus.ObjectPath("/org/qemu/VM1/QMP")
	qmpIf         = "org.qemu.VM1.QMP"
	qmpCall       = "org.qemu.VM1.QMP.Call"
	eventsIf      = "org.qemu.VM1.QMP.Events"
	propsIf       = "org.freedesktop.DBus.Properties"
	objectManager = "org.freedesktop.DBus.ObjectManager"
	dbusError     = "org.freedesktop.DBus.Error."
)

// program is the bridge under test, built with the race detector.
var program string

func TestMain(m *testing.M) {
	if numbers, ok := os.LookupEnv(filterVariable); ok {
		fmt.Fprintln(os.Stderr, filtered(numbers))
		os.Exit(1)
	}
	dir, err := os.MkdirTemp("/tmp", "e2e")
	if err != nil {
		panic(err)
	}
	program = filepath.Join(dir, "qmp-dbus-bridge")
	build := exec.Command("go", "build", "-race", "-o", program, "qmp-dbus-bridge/cmd/qmp-dbus-bridge")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		os.Exit(1)
	}
	if err := os.Chmod(dir, 0o711); err != nil { // other users run it too
		panic(err)
	}
	testscript.Main(cleaned{m, dir}, nil)
}

// cleaned removes the program when the tests have run.
type cleaned struct {
	*testing.M
	dir string
}

func (c cleaned) Run() int {
	defer os.RemoveAll(c.dir)
	return c.M.Run()
}

// bridge is a running bridge.
type bridge struct {
	*rig.Process
	address string // of its bus
}

// startBridge starts the program and returns when it is ready.
func startBridge(t testing.TB, args ...string) *bridge {
	t.Helper()
	p := rig.Start(t, exec.Command(program, args...))
	p.WaitOutput(t, "bus=")
	t.Cleanup(func() { noRaces(t, p) })
	return &bridge{p, readyAddress(p.Output())}
}

// serveQEMU starts a bridge for a QEMU on a private bus; flags are added.
func serveQEMU(t testing.TB, vm *rig.QEMU, flags ...string) *bridge {
	t.Helper()
	args := append([]string{"serve", "--qmp", vm.Monitors[0]}, flags...)
	if !strings.Contains(strings.Join(flags, " "), "--bus") {
		args = append(args, "--bus-dir", filepath.Join(rig.TempDir(t), "bus"))
	}
	return startBridge(t, args...)
}

// buses are the kinds of bus that the bridge is tested on, by the flags that it gets: its own
// private dbus-daemon, and a dbus-broker that all users share.
var buses = map[string]func(testing.TB) []string{
	"dbus-daemon": func(testing.TB) []string { return nil },
	"dbus-broker": func(t testing.TB) []string { return []string{"--bus", rig.StartBroker(t, rig.Permissive).Address} },
}

func onBothBuses(t *testing.T, test func(t *testing.T, flags []string)) {
	for name, flags := range buses {
		t.Run(name, func(t *testing.T) { test(t, flags(t)) })
	}
}

// startBus starts a bus of one kind, with a configuration.
type startBus = func(t testing.TB, config string) *rig.Bus

// configured are the kinds of bus, for tests that write the configuration.
var configured = map[string]startBus{"dbus-daemon": rig.StartDaemon, "dbus-broker": rig.StartBroker}

// onConfigured runs a test that is mostly of waiting for its guest to boot on each of them, at once.
func onConfigured(t *testing.T, test func(*testing.T, startBus)) {
	for name, start := range configured {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, start)
		})
	}
}

func readyAddress(output string) string {
	for line := range strings.Lines(output) {
		if address, ok := strings.CutPrefix(line, "bus="); ok {
			return strings.TrimSpace(address)
		}
	}
	return ""
}

// noRaces fails the test when the race detector has spoken.
func noRaces(t testing.TB, p *rig.Process) {
	p.Stop()
	if strings.Contains(p.Output(), "DATA RACE") || strings.Contains(p.Output(), "panic:") {
		t.Errorf("the bridge raced or panicked:\n%s", p.Output())
	}
}

// get reads a property of org.qemu.VM1.
func get[T any](t testing.TB, conn *dbus.Conn, name string) T {
	t.Helper()
	v, err := conn.Object(busName, vmPath).GetProperty(busName + "." + name)
	if err != nil {
		t.Fatalf("Get %s: %v", name, err)
	}
	return v.Value().(T)
}

// qmp runs a command by Call and returns its result.
func qmp(conn *dbus.Conn, command string, arguments map[string]any) (any, error) {
	variants := map[string]dbus.Variant{}
	for name, value := range arguments {
		variants[name] = dbus.MakeVariant(value)
	}
	var result dbus.Variant
	err := conn.Object(busName, qmpPath).Call(qmpCall, 0, command, variants).Store(&result)
	return result.Value(), err
}

// errorName is the D-Bus name of an error, or what it says if it is none.
func errorName(err error) string {
	var e dbus.Error
	if asError(err, &e) {
		return e.Name
	}
	return fmt.Sprint(err)
}

func asError(err error, into *dbus.Error) bool {
	if e, ok := err.(dbus.Error); ok {
		*into = e
		return true
	}
	return false
}
