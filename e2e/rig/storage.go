package rig

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// StartStorageDaemon starts a qemu-storage-daemon with one monitor: the one beside the QEMU
// under test if that has a path, else the one in PATH. It returns when it greets.
func StartStorageDaemon(t testing.TB) *QEMU {
	t.Helper()
	program := "qemu-storage-daemon"
	if beside := filepath.Join(filepath.Dir(QEMUProgram()), program); filepath.IsAbs(beside) {
		program = beside
	}
	Require(t, program)
	path := filepath.Join(TempDir(t), "qmp")
	vm := &QEMU{Program: program, Monitors: []string{path}}
	vm.Process = Start(t, exec.Command(program,
		"--chardev", "socket,id=qmp,path="+path+",server=on,wait=off", "--monitor", "chardev=qmp"))
	vm.waitMonitor(t, path)
	return vm
}
