package rig_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"qmp-dbus-bridge/e2e/rig"
)

func TestGuest(t *testing.T) {
	guest := rig.StartGuest(t, rig.QEMU{})
	for _, tt := range []struct{ line, want string }{
		{"uname -s", "Linux"},
		{"printf 'a  b\\n\\nc\\n'; echo err >&2", "a  b\n\nc\nerr"},
		{"true", ""},
		{"seq 10000 | tail -n 2", "9999\n10000"},
		{"cat /sys/bus/pci/slots/*/power | wc -l", "4"},
	} {
		if got := guest.Run(t, tt.line); got != tt.want {
			t.Errorf("Run(%s) = %q, want %q", tt.line, got, tt.want)
		}
	}
	for i := range 60 { // children that end while a line is read
		guest.Run(t, fmt.Sprintf("for n in 1 2 3 4 5 6; do usleep $((n*%d)) & done", 200+100*i))
		const text = "more than a serial port holds"
		if got := guest.Run(t, "echo "+text); got != text {
			t.Errorf("echo printed %q, want %q", got, text)
		}
	}
	guest.Tell(t, "poweroff -f")
	if status := guest.Wait(t); status != 0 {
		t.Errorf("exit status %d, want 0:\n%s", status, guest.Output())
	}
}

// TestSharedMemory has another process map the guest's memory: a file system of the host's.
func TestSharedMemory(t *testing.T) {
	const daemon = "/usr/lib/qemu/virtiofsd"
	rig.Require(t, daemon)
	rig.RequireRoot(t)
	socket, shared := filepath.Join(rig.TempDir(t), "fs"), rig.TempDir(t)
	rig.Start(t, exec.Command(daemon, "--socket-path="+socket, "-o", "source="+shared))
	rig.Eventually(t, "virtiofsd listens", func() bool { _, err := os.Stat(socket); return err == nil })
	guest := rig.StartGuest(t, rig.QEMU{Args: append([]string{
		"-chardev", "socket,id=fs0,path=" + socket, "-device", "vhost-user-fs-pci,chardev=fs0,tag=host",
	}, rig.SharedMemory...)})
	guest.Run(t, "mkdir /mnt && mount -t virtiofs host /mnt && echo from the guest >/mnt/file")
	if got, err := os.ReadFile(filepath.Join(shared, "file")); err != nil || string(got) != "from the guest\n" {
		t.Errorf("the guest's file: %q, %v", got, err)
	}
}
