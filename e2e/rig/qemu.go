package rig

import (
	"bufio"
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

// QEMU says how a virtual machine is started, and is one. The zero value is a
// running machine with firmware only, TCG, 64 MiB and one monitor.
type QEMU struct {
	// Dir is where the monitors' sockets are to be; empty means a new TempDir. The
	// same Dir gives the same paths, for a QEMU that comes back.
	Dir string
	// Count is the number of monitors, 1 if zero. Each serves one client at a time.
	Count int
	// Awaited says that somebody else waits for the monitors, who would not get them
	// if StartQEMU looked whether they answer.
	Awaited bool
	// Args are further arguments, such as "-S" or "-name", "vm7".
	Args []string

	// Monitors are the paths of the QMP sockets of the machine that was started.
	Monitors []string
	*Process
}

// StartQEMU starts the machine and returns when its monitors answer.
func StartQEMU(t testing.TB, vm QEMU) *QEMU {
	t.Helper()
	Require(t, QEMUProgram())
	if vm.Dir == "" {
		vm.Dir = TempDir(t)
	}
	args := []string{"-M", "q35", "-accel", "tcg", "-m", "64", "-nodefaults", "-display", "none"}
	for i := range max(vm.Count, 1) {
		path := filepath.Join(vm.Dir, fmt.Sprintf("qmp%d", i))
		vm.Monitors = append(vm.Monitors, path)
		args = append(args, "-qmp", "unix:"+path+",server=on,wait=off")
	}
	vm.Process = Start(t, exec.Command(QEMUProgram(), append(args, vm.Args...)...))
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
