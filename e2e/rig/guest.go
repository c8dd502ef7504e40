package rig

import (
	"cmp"
	"os"
	"path/filepath"
	"testing"
)

// bootTimeout is how long a guest may take to be ready. It needs 3 s of a processor under TCG, and
// took up to 18 s where ten other programs wanted it.
const bootTimeout = 3 * Timeout

// guestMemory is the memory of a guest, MiB; it runs in half of it, the rest is for its balloon.
const guestMemory = "128"

// SharedMemory are arguments for a guest whose memory other processes map, as vhost-user
// devices do.
var SharedMemory = []string{
	"-object", "memory-backend-memfd,id=ram,size=" + guestMemory + "M,share=on", "-M", "memory-backend=ram",
}

// Guest is a virtual machine that runs Linux: Debian's kernel for virtual machines, busybox,
// and an init that powers off when the power button is pressed.
type Guest struct {
	*QEMU
	*Shell
}

// StartGuest starts a guest as vm says and returns when it takes commands.
func StartGuest(t testing.TB, vm QEMU) *Guest {
	t.Helper()
	vm.Dir = cmp.Or(vm.Dir, TempDir(t))
	args := GuestArgs(t, vm.Dir)
	if vm.User != nil { // who can't read another's cache
		args = guestArgs(vm.Dir, copied(t, guestFile(t, "vmlinuz"), vm.Dir), copied(t, guestFile(t, "initrd"), vm.Dir))
	}
	vm.Args = append(args, vm.Args...)
	q := StartQEMU(t, vm)
	WaitGuest(t, q.Process)
	return &Guest{q, DialShell(t, vm.Dir)}
}

// GuestArgs are the arguments of a QEMU that runs a guest, besides those that choose q35 and
// TCG, for tests that don't start it by [StartGuest]. dir is where [DialShell] finds the guest.
//
// The guest has free PCIe slots named rp1 to rp4, a balloon named balloon0, and a
// device that tells of its panics, at which QEMU pauses. It drives
// virtio-blk, virtio-net, virtio-scsi with disks and CD drives, virtio-serial, virtiofs, the PC's
// keyboard, and the VGA's text screen. Its console is QEMU's standard output.
//
// The test skips where e2e/guest.sh has not made the guest.
func GuestArgs(t testing.TB, dir string) []string {
	t.Helper()
	return guestArgs(dir, guestFile(t, "vmlinuz"), guestFile(t, "initrd"))
}

func guestArgs(dir, kernel, initrd string) []string {
	args := []string{
		"-m", guestMemory, "-action", "panic=pause",
		"-kernel", kernel, "-initrd", initrd, "-append", "console=ttyS0 quiet",
		"-serial", "stdio",
		"-chardev", "socket,id=shell,server=on,wait=off,path=" + shellPath(dir), "-serial", "chardev:shell",
		"-device", "pvpanic", "-device", "virtio-balloon-pci,id=balloon0",
	}
	for _, slot := range []string{"1", "2", "3", "4"} {
		args = append(args, "-device", "pcie-root-port,id=rp"+slot+",chassis="+slot)
	}
	return args
}

// WaitGuest waits until the guest is ready whose console is in the output of p.
func WaitGuest(t testing.TB, p *Process) {
	t.Helper()
	p.waitOutput(t, "guest ready", bootTimeout)
}

// guestFile is a file that e2e/guest.sh has made.
func guestFile(t testing.TB, name string) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(cache, "qmp-dbus-bridge/guest", name)
	if _, err := os.Stat(path); err != nil {
		Lacking(t, "the Linux guest is not there: run e2e/guest.sh ("+err.Error()+")")
	}
	return path
}

// copied is a copy of a file, in dir and for all to read.
func copied(t testing.TB, path, dir string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(dir, filepath.Base(path))
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
