package rig_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/e2e/rig"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestProcess(t *testing.T) {
	p := rig.Start(t, exec.Command("sh", "-c", "echo out; echo err >&2; read line; exit 3"))
	p.WaitOutput(t, "out\nerr\n")
	if got := p.Wait(t); got != 3 {
		t.Errorf("Wait() = %d, want 3", got)
	}
	p.Stop() // once more does nothing
}

func TestProcessEndsWithTheTest(t *testing.T) {
	var p *rig.Process
	t.Run("inner", func(t *testing.T) {
		p = rig.Start(t, exec.Command("sleep", "1000"))
	})
	if rig.Alive(p.PID()) {
		t.Error("the process has outlived the test that started it")
	}
}

func TestSignalledStatus(t *testing.T) {
	p := rig.Start(t, exec.Command("sleep", "1000"))
	p.Signal(t, unix.SIGKILL)
	if got := p.Wait(t); got != -1 {
		t.Errorf("Wait() = %d, want -1", got)
	}
}

func TestCommandAsUser(t *testing.T) {
	rig.RequireRoot(t)
	dir := rig.TempDir(t)
	file := filepath.Join(dir, "id.sh")
	if err := os.WriteFile(file, []byte("#!/bin/sh\nid -u; id -g; id -G\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	got, status := rig.Run(t, rig.Carol.Command(file))
	if want := "5\n60\n60\n"; got != want || status != 0 {
		t.Errorf("id = %q, status %d, want %q", got, status, want)
	}
}

func TestQEMU(t *testing.T) {
	vm := rig.StartQEMU(t, rig.QEMU{Count: 2, Args: []string{"-S"}})
	if len(vm.Monitors) != 2 {
		t.Fatalf("monitors %v, want 2", vm.Monitors)
	}
	if rss := rig.RSS(t, vm.PID()); rss < 1<<20 {
		t.Errorf("RSS = %d", rss)
	}
	vm.Signal(t, unix.SIGKILL)
	vm.Wait(t)
	again := rig.StartQEMU(t, rig.QEMU{Dir: vm.Dir})
	if again.Monitors[0] != vm.Monitors[0] {
		t.Errorf("the QEMU that comes back is at %s, want %s", again.Monitors[0], vm.Monitors[0])
	}
}

func TestBuses(t *testing.T) {
	rig.RequireRoot(t)
	for name, start := range map[string]func(testing.TB, string) *rig.Bus{
		"dbus-daemon": rig.StartDaemon, "dbus-broker": rig.StartBroker,
	} {
		t.Run(name, func(t *testing.T) { testBus(t, start(t, rig.Permissive)) })
	}
}

func testBus(t *testing.T, bus *rig.Bus) {
	alice := rig.Alice.MustDial(t, bus.Address)
	fds := len(rig.FDs(t, bus.Server)) // after Hello, so the bus has all of its own
	bob := rig.Bob.MustDial(t, bus.Address)
	var uid uint32
	err := bob.BusObject().Call("org.freedesktop.DBus.GetConnectionUnixUser", 0, alice.Names()[0]).Store(&uid)
	if err != nil || uid != rig.Alice.UID {
		t.Errorf("the bus sees uid %d, %v, want %d", uid, err, rig.Alice.UID)
	}
	bob.Close()
	rig.Eventually(t, "the bus closes its descriptor", func() bool { return len(rig.FDs(t, bus.Server)) == fds })
	bus.Stop()
	rig.Eventually(t, "the bus ends", func() bool { return !rig.Alive(bus.Server) })
}

// TestRequire runs this test binary again, for tests that skip or fail.
func TestRequire(t *testing.T) {
	if os.Getenv("RIG_INNER") == "1" {
		rig.Require(t, "sh", "no-such-program", "nor-this")
	}
	for _, tt := range []struct{ require, want string }{
		{"", "SKIP"}, {"1", "FAIL"},
	} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestRequire$", "-test.v")
		cmd.Env = append(os.Environ(), "RIG_INNER=1", "E2E_REQUIRE="+tt.require)
		out, _ := cmd.CombinedOutput()
		if !strings.Contains(string(out), "--- "+tt.want) || !bytes.Contains(out, []byte("no-such-program, nor-this")) {
			t.Errorf("E2E_REQUIRE=%q: want %s naming what is missing:\n%s", tt.require, tt.want, out)
		}
	}
}

func TestTempDirIsPassable(t *testing.T) {
	info, err := os.Stat(rig.TempDir(t))
	if err != nil || info.Mode().Perm() != 0o711 || info.Sys().(*syscall.Stat_t).Uid != uint32(os.Geteuid()) {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}
