package e2e_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"qmp-dbus-bridge/e2e/rig"
)

// smallVM is a machine for run, which adds the monitor.
var smallVM = []string{rig.QEMUProgram(), "-M", "q35", "-accel", "tcg", "-m", "64", "-nodefaults", "-display", "none"}

func command(args ...string) *exec.Cmd { return exec.Command(program, args...) }

// runVM starts a machine by run with flags before the -- and args behind smallVM.
func runVM(t testing.TB, flags []string, args ...string) *bridge {
	t.Helper()
	line := append([]string{"run", "--bus-dir", filepath.Join(rig.TempDir(t), "bus"), "--power-down-timeout", "1s"}, flags...)
	line = append(append(line, "--"), smallVM...)
	return startBridge(t, append(line, args...)...)
}

// TestRunEndsWithQEMU quits QEMU through the bus: Quit succeeds, and so does run.
func TestRunEndsWithQEMU(t *testing.T) {
	rig.Require(t, rig.QEMUProgram())
	b := runVM(t, nil, "-name", "vm7")
	conn := rig.Self().MustDial(t, b.address)
	if name := get[string](t, conn, "Name"); name != "vm7" {
		t.Errorf("Name = %q, want vm7", name)
	}
	if err := conn.Object(busName, vmPath).Call(busName+".Quit", 0).Err; err != nil {
		t.Errorf("Quit: %v", err)
	}
	if status := b.Wait(t); status != 0 {
		t.Errorf("exit status %d, want 0:\n%s", status, b.Output())
	}
}

// TestRunStatus has run end with the status of a QEMU that fails or is killed.
func TestRunStatus(t *testing.T) {
	rig.Require(t, rig.QEMUProgram())
	line := append([]string{"run", "--bus-dir", filepath.Join(rig.TempDir(t), "bus"), "--"}, smallVM...)
	printed, status := rig.Run(t, command(append(line, "-device", "no-such-device")...))
	if status != 1 || !strings.Contains(printed, "no-such-device") || !strings.HasSuffix(printed, endedEarly(1)) {
		t.Errorf("exit status %d, %q; want QEMU's 1, its own words and %q", status, printed, endedEarly(1))
	}
	line = []string{"run", "--bus-dir", filepath.Join(rig.TempDir(t), "bus"), "--"}
	if printed, status := rig.Run(t, command(append(line, "sh", "-c", "exit 7")...)); status != 7 || printed != endedEarly(7) {
		t.Errorf("exit status %d, %q; want 7 and %q", status, printed, endedEarly(7))
	}
	b := runVM(t, nil)
	if err := syscall.Kill(qemuChild(t, b), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if status := b.Wait(t); status != 128+9 {
		t.Errorf("exit status %d after SIGKILL of QEMU, want 137", status)
	}
}

func endedEarly(status int) string {
	return fmt.Sprintf("qmp-dbus-bridge: QEMU ended with status %d before its monitor answered\n", status)
}

// TestRunWithoutBus has run told at once that it can't have its bus: no QEMU is started for that.
func TestRunWithoutBus(t *testing.T) {
	dir := filepath.Join(rig.TempDir(t), "bus")
	other := serveQEMU(t, rig.StartQEMU(t, rig.QEMU{}), "--bus-dir", dir)
	occupied := filepath.Join(rig.TempDir(t), "file")
	if err := os.WriteFile(occupied, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for want, flags := range map[string][]string{
		dir + " is in use by another bridge":                       {"--bus-dir", dir},
		occupied + " is not a directory":                           {"--bus-dir", occupied},
		"--bus session: DBUS_SESSION_BUS_ADDRESS is not set":       {"--bus", "session"},
		"start that bus, correct --bus, or leave it out":           {"--bus", "unix:path=" + dir + "/none"},
		"nobody listens there: start that bus, or leave --bus out": {"--bus", "unix:path=" + deadSocket(t)},
	} {
		cmd := command(append(append([]string{"run"}, flags...), "--", "sh", "-c", "echo started; sleep 60")...)
		cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
		printed, status := rig.Run(t, cmd)
		if status != 1 || !strings.Contains(printed, want) || strings.Count(printed, "\n") != 1 {
			t.Errorf("%v: exit status %d, %q; want 1 and one line with %q", flags, status, printed, want)
		}
	}
	if !rig.Alive(other.PID()) || get[string](t, rig.Self().MustDial(t, other.address), "Status") != "running" {
		t.Error("the other bridge has suffered")
	}
}

// TestRunNameTaken has run learn that it can't be on a bus when QEMU has started: it says so and quits QEMU, whose
// guest nobody has used.
func TestRunNameTaken(t *testing.T) {
	rig.Require(t, rig.QEMUProgram())
	bus := rig.StartDaemon(t, rig.Permissive)
	serveQEMU(t, rig.StartQEMU(t, rig.QEMU{}), "--bus", bus.Address)
	line := append([]string{"run", "--bus", bus.Address, "--power-down-timeout", "10m", "--"}, smallVM...)
	printed, status := rig.Run(t, command(line...))
	reason, ending := strings.Index(printed, "another bridge serves there"), strings.Index(printed, "ending QEMU")
	if status != 1 || reason < 0 || ending < reason || strings.Contains(printed, "system_powerdown") {
		t.Errorf("exit status %d; want 1, the reason, then the end of QEMU at once:\n%s", status, printed)
	}
}

// deadSocket is the path of a socket at which nobody listens any more.
func deadSocket(t *testing.T) string {
	t.Helper()
	path := filepath.Join(rig.TempDir(t), "dead")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	return path
}

// TestRunTerminated has SIGTERM ask the guest first, which firmware ignores, and then quit
// QEMU.
func TestRunTerminated(t *testing.T) {
	rig.Require(t, rig.QEMUProgram())
	b := runVM(t, nil)
	conn := rig.Self().MustDial(t, b.address)
	events := watch(t, conn)
	vm := qemuChild(t, b)
	b.Signal(t, syscall.SIGTERM)
	waitSignal(t, events, "Powerdown")
	if status := b.Wait(t); status != 0 {
		t.Errorf("exit status %d, want 0:\n%s", status, b.Output())
	}
	if rig.Alive(vm) {
		t.Error("QEMU outlived run")
	}
}

// TestRunHangingQEMU has SIGTERM end a QEMU that answers nothing.
func TestRunHangingQEMU(t *testing.T) {
	rig.Require(t, rig.QEMUProgram())
	b := runVM(t, nil)
	vm := qemuChild(t, b)
	if err := syscall.Kill(vm, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	b.Signal(t, syscall.SIGTERM)
	if status := b.Wait(t); status != 128+9 {
		t.Errorf("exit status %d, want 137:\n%s", status, b.Output())
	}
}

// TestRunBusDies ends the private bus under run: QEMU is quit, not killed, and the reason
// is told.
func TestRunBusDies(t *testing.T) {
	rig.Require(t, rig.QEMUProgram())
	b := runVM(t, nil)
	vm := qemuChild(t, b)
	for _, pid := range rig.Children(t, b.PID()) {
		if pid != vm {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
	}
	if status := b.Wait(t); status != 1 {
		t.Errorf("exit status %d, want 1", status)
	}
	if !strings.Contains(b.Output(), "qmp-dbus-bridge: the bus has gone: ") {
		t.Errorf("it does not say why it ended:\n%s", b.Output())
	}
}

// TestRunKilled leaves QEMU alone when the bridge is killed.
func TestRunKilled(t *testing.T) {
	rig.Require(t, rig.QEMUProgram())
	b := runVM(t, nil)
	vm := qemuChild(t, b)
	t.Cleanup(func() { _ = syscall.Kill(vm, syscall.SIGKILL) })
	b.Signal(t, syscall.SIGKILL)
	b.Wait(t)
	if !rig.Alive(vm) {
		t.Error("QEMU ended with the bridge")
	}
}

// qemuChild is the process id of the QEMU that run started.
func qemuChild(t testing.TB, b *bridge) int {
	t.Helper()
	for _, pid := range rig.Children(t, b.PID()) {
		if strings.HasPrefix(rig.Name(t, pid), "qemu") {
			return pid
		}
	}
	t.Fatal("run has no QEMU")
	return 0
}
