package e2e_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"qmp-dbus-bridge/e2e/rig"
)

// TestQEMUDiesAndReturns kills QEMU while calls are pending: each is answered at once, the
// properties tell, and a QEMU that comes back at the same path is shown without a restart.
func TestQEMUDiesAndReturns(t *testing.T) { onBothBuses(t, testQEMUDiesAndReturns) }

func testQEMUDiesAndReturns(t *testing.T, flags []string) {
	dir := rig.TempDir(t)
	vm := rig.StartQEMU(t, rig.QEMU{Dir: dir, Args: []string{"-name", "first"}})
	b := serveQEMU(t, vm, append(flags, "--name", "vm")...)
	conn := rig.Self().MustDial(t, b.address)
	if name := get[string](t, conn, "Name"); name != "first" {
		t.Fatalf("Name = %q, want first", name)
	}
	signals := watch(t, conn, dbus.WithMatchInterface(propsIf))

	vm.Signal(t, syscall.SIGSTOP) // so that the calls are pending when it dies
	const pending = 20
	replies := make(chan *dbus.Call, pending)
	for range pending {
		conn.Object(busName, qmpPath).Go(qmpCall, 0, replies, "query-status", map[string]dbus.Variant{})
	}
	vm.Signal(t, syscall.SIGKILL)
	for range pending {
		select {
		case call := <-replies:
			if got, want := errorName(call.Err), "org.qemu.VM1.Error.Disconnected"; got != want {
				t.Errorf("a pending call ended with %s, want %s", got, want)
			}
		case <-time.After(rig.Timeout):
			t.Fatal("a pending call got no answer")
		}
	}
	changed := next(t, signals).Body[1].(map[string]dbus.Variant)
	if changed["Connected"].Value() != false || changed["Running"].Value() != false || changed["Status"].Value() != "" {
		t.Errorf("PropertiesChanged tells %v, want Connected and Running false, Status empty", changed)
	}

	rig.StartQEMU(t, rig.QEMU{Dir: dir, Awaited: true, Args: []string{"-name", "second", "-S"}})
	changed = next(t, signals).Body[1].(map[string]dbus.Variant)
	if changed["Connected"].Value() != true || changed["Name"].Value() != "second" || changed["Status"].Value() != "prelaunch" {
		t.Errorf("PropertiesChanged tells %v, want Connected, Name second, Status prelaunch", changed)
	}
	if _, err := qmp(conn, "query-status", nil); err != nil {
		t.Error(err)
	}
}

// TestBridgeKilled kills the bridge: QEMU goes on, the private bus ends, and another
// bridge takes over.
func TestBridgeKilled(t *testing.T) {
	vm := rig.StartQEMU(t, rig.QEMU{})
	dir := filepath.Join(rig.TempDir(t), "bus")
	b := serveQEMU(t, vm, "--bus-dir", dir)
	busDaemon := rig.Children(t, b.PID())
	b.Signal(t, syscall.SIGKILL)
	b.Wait(t)
	rig.Eventually(t, "the bus ends", func() bool { return !rig.Alive(busDaemon[0]) })
	if !rig.Alive(vm.PID()) {
		t.Fatal("QEMU ended with the bridge")
	}
	again := serveQEMU(t, vm, "--bus-dir", dir)
	if !get[bool](t, rig.Self().MustDial(t, again.address), "Running") {
		t.Error("Running = false, want true")
	}
}

// TestBusDies ends the private bus under the bridge, which then ends and says so.
func TestBusDies(t *testing.T) {
	b := serveQEMU(t, rig.StartQEMU(t, rig.QEMU{}))
	if err := syscall.Kill(rig.Children(t, b.PID())[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if status := b.Wait(t); status != 1 {
		t.Errorf("exit status %d, want 1", status)
	}
	if !strings.Contains(b.Output(), "qmp-dbus-bridge: the bus has gone: ") {
		t.Errorf("it does not say that the bus has gone:\n%s", b.Output())
	}
}

// TestBusyMonitor has another client hold the monitor.
func TestBusyMonitor(t *testing.T) {
	vm := rig.StartQEMU(t, rig.QEMU{})
	rig.DialMonitor(t, vm.Monitors[0])
	printed, status := rig.Run(t, command("serve", "--qmp", vm.Monitors[0], "--bus-dir", rig.TempDir(t)))
	if want := "another client holds the monitor"; status != 1 || !strings.Contains(printed, want) {
		t.Errorf("exit status %d, %q; want 1 and %q", status, printed, want)
	}
}

// TestSecondBridge has two bridges for one bus name: the second is told, the first goes on.
func TestSecondBridge(t *testing.T) {
	vm := rig.StartQEMU(t, rig.QEMU{Count: 2})
	bus := rig.StartDaemon(t, rig.Permissive)
	b := serveQEMU(t, vm, "--bus", bus.Address)
	printed, status := rig.Run(t, command("serve", "--qmp", vm.Monitors[1], "--bus", bus.Address))
	if want := "the name has an owner"; status != 1 || !strings.Contains(printed, want) {
		t.Errorf("exit status %d, %q; want 1 and %q", status, printed, want)
	}
	if !rig.Alive(b.PID()) {
		t.Error("the first bridge ended")
	}
}

// TestUnreadableSocket has the bridge run as a user who may not open the monitor.
func TestUnreadableSocket(t *testing.T) {
	rig.RequireRoot(t)
	vm := rig.StartQEMU(t, rig.QEMU{})
	if err := os.Chmod(vm.Monitors[0], 0o600); err != nil {
		t.Fatal(err)
	}
	printed, status := rig.Run(t, rig.Alice.Command(program, "serve", "--qmp", vm.Monitors[0], "--bus-dir", "/tmp/unused"))
	if want := "permission denied"; status != 1 || !strings.Contains(printed, want) {
		t.Errorf("exit status %d, %q; want 1 and %q", status, printed, want)
	}
}

// TestUnreadLog has nobody read the bridge's standard error, log and audit: every call is
// answered all the same, refused once its record has no room, and SIGTERM ends it.
func TestUnreadLog(t *testing.T) {
	rig.RequireRoot(t)
	vm := rig.StartQEMU(t, rig.QEMU{})
	unread, stderr, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer unread.Close()
	cmd := command("serve", "--qmp", vm.Monitors[0], "--bus-dir", filepath.Join(rig.TempDir(t), "bus"), "--grant", "viewer=uid:1")
	cmd.Stderr = stderr
	p := rig.Start(t, cmd)
	stderr.Close()
	p.WaitOutput(t, "bus=")
	address := readyAddress(p.Output())
	viewer, admin := rig.Alice.MustDial(t, address), rig.Root.MustDial(t, address)
	const calls = 6000 // a pipe holds some 300 records, the audit's queue 4096
	for range calls {
		err := viewer.Object(busName, vmPath).Call(busName+".Pause", 0).Err
		if got, want := errorName(err), dbusError+"AccessDenied"; got != want {
			t.Fatalf("a viewer's Pause: %s, want %s", got, want)
		}
	}
	_, err = qmp(admin, "stop", nil)
	if got, want := errorName(err), dbusError+"LimitsExceeded"; got != want {
		t.Errorf("stop without room for its record: %s, want %s", got, want)
	}
	p.Signal(t, syscall.SIGTERM)
	if status := p.Wait(t); status != 1 { // records are lost, and it says so
		t.Errorf("exit status %d, want 1", status)
	}
}
