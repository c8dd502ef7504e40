package rig

import (
	"bufio"
	"cmp"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// QEMUProgram is the QEMU under test: what the environment variable QEMU names, or
// Debian's.
func QEMUProgram() string {
	if program := os.Getenv("QEMU"); program != "" {
		return program
	}
	return "qemu-system-x86_64"
}

// OtherQEMU is the QEMU "10" or "5.2" where e2e/qemu.sh has unpacked it. The test skips where
// it has not.
func OtherQEMU(t testing.TB, version string) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(cache, "qmp-dbus-bridge", "qemu"+version, "bin/qemu-system-x86_64")
	if _, err := os.Stat(program); err != nil {
		Lacking(t, fmt.Sprintf("QEMU %s is not there: run e2e/qemu.sh %[1]s (%v)", version, err))
	}
	return program
}

// Version is the major version of a QEMU program, by its own words.
func Version(program string) (major int, err error) {
	out, err := exec.Command(program, "--version").Output()
	if err != nil {
		return 0, fmt.Errorf("%s --version: %w", program, err)
	}
	if _, err := fmt.Sscanf(string(out), "QEMU emulator version %d.", &major); err != nil {
		return 0, fmt.Errorf("%s --version printed %q", program, out)
	}
	return major, nil
}

// QEMU says how a virtual machine is started, and is one. The zero value is a
// running machine with firmware only, TCG, 64 MiB and one monitor.
type QEMU struct {
	// Dir is where the monitors' sockets are to be; empty means a new TempDir. The
	// same Dir gives the same paths, for a QEMU that comes back.
	Dir string
	// Program is what is started; empty means the QEMU under test.
	Program string
	// Count is the number of monitors, 1 if zero. Each serves one client at a time.
	Count int
	// Awaited says that somebody else waits for the monitors, who would not get them
	// if StartQEMU looked whether they answer.
	Awaited bool
	// User is whom it runs as, who must be able to write Dir; nil means the test's own.
	User *User
	// Args are further arguments, such as "-S" or "-name", "vm7".
	Args []string

	// Monitors are the paths of the QMP sockets of the machine that was started.
	Monitors []string
	*Process
}

// StartQEMU starts the machine and returns when its monitors answer.
func StartQEMU(t testing.TB, vm QEMU) *QEMU {
	t.Helper()
	vm.Program = cmp.Or(vm.Program, QEMUProgram())
	Require(t, vm.Program)
	if vm.Dir == "" {
		vm.Dir = TempDir(t)
	}
	args := []string{"-M", "q35", "-accel", "tcg", "-m", "64", "-nodefaults", "-display", "none"}
	for i := range max(vm.Count, 1) {
		path := filepath.Join(vm.Dir, fmt.Sprintf("qmp%d", i))
		vm.Monitors = append(vm.Monitors, path)
		args = append(args, "-qmp", "unix:"+path+",server=on,wait=off")
	}
	args = append(args, vm.Args...)
	if vm.User != nil {
		Require(t, "setpriv")
		vm.Process = Start(t, vm.User.Command(vm.Program, args...))
	} else {
		vm.Process = Start(t, exec.Command(vm.Program, args...))
	}
	for _, path := range vm.Monitors {
		if !vm.Awaited {
			vm.waitMonitor(t, path)
		}
	}
	return &vm
}

// waitMonitor waits until the monitor greets, and leaves it free for its client.
func (vm *QEMU) waitMonitor(t testing.TB, path string) {
	t.Helper()
	Eventually(t, "QEMU greets at "+path, func() bool {
		if !Alive(vm.PID()) {
			t.Fatalf("QEMU has ended:\n%s", vm.Output())
		}
		conn, err := net.Dial("unix", path)
		if err != nil {
			return false
		}
		defer conn.Close()
		_ = conn.SetReadDeadline(time.Now().Add(Timeout))
		_, err = bufio.NewReader(conn).ReadString('\n')
		return err == nil
	})
}
