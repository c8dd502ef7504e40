package audit_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/bridge/audit"
	"qmp-dbus-bridge/e2e/rig"
)

// The kernel's words for userfaultfd, include/uapi/linux/userfaultfd.h.
const (
	uffdAPI         = 0xaa
	uffdMissing     = 1
	uffdIOAPI       = 0xc018aa3f
	uffdIORegister  = 0xc020aa00
	uffdMessageSize = 32 // bytes
)

// stick has every write to a file hang until free is called: one is under way whose bytes the kernel can't get, and
// others to the same file wait for it.
func stick(t *testing.T, path string) (free func()) {
	t.Helper()
	rig.RequireRoot(t)
	fd, _, errno := unix.Syscall(unix.SYS_USERFAULTFD, unix.O_CLOEXEC, 0, 0)
	if errno != 0 {
		rig.Lacking(t, "userfaultfd: "+errno.Error())
	}
	page, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	api := [3]uint64{uffdAPI}
	register := [4]uint64{uint64(uintptr(unsafe.Pointer(&page[0]))), uint64(len(page)), uffdMissing}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, uffdIOAPI, uintptr(unsafe.Pointer(&api))); errno != 0 {
		t.Fatal("UFFDIO_API: ", errno)
	}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, uffdIORegister, uintptr(unsafe.Pointer(&register))); errno != 0 {
		t.Fatal("UFFDIO_REGISTER: ", errno)
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if _, err := file.Write(page); err != nil {
			t.Error(err)
		}
	}()
	if _, err := unix.Read(int(fd), make([]byte, uffdMessageSize)); err != nil { // it hangs
		t.Fatal("userfaultfd: ", err)
	}
	var once sync.Once
	free = func() {
		once.Do(func() {
			closed := unix.Close(int(fd)) // now the page is there, all zero
			<-done
			if err := errors.Join(closed, file.Close(), unix.Munmap(page)); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(free)
	return free
}

// TestStuckFile has a write to the audit's file hang: neither Reopen nor Close hangs with it, and both say so. What was
// told as lost is written after all if the file comes to itself.
func TestStuckFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit")
	trail := open(t, path)
	free := stick(t, path)
	const count = 3
	for range count {
		if err := trail.Write(audit.Record{Name: ":1.5"}); err != nil {
			t.Fatal(err)
		}
	}
	fds := len(rig.FDs(t, os.Getpid()))
	var err error
	rig.Eventually(t, "Reopen meets the write", func() bool {
		err = trail.Reopen()
		return err != nil
	})
	if !strings.Contains(err.Error(), "a write to it hangs; going on in the file that is open") {
		t.Errorf("Reopen: %v", err)
	}
	if after := len(rig.FDs(t, os.Getpid())); after != fds {
		t.Errorf("%d descriptors after Reopen, want %d", after, fds)
	}
	if err := trail.Close(); err == nil || !strings.Contains(err.Error(), "3 records lost") {
		t.Errorf("Close: %v, want one that says that 3 records are lost", err)
	}
	free()
	if err := trail.Close(); err != nil {
		t.Errorf("Close after all: %v", err)
	}
	text, err := os.ReadFile(path)
	if lines := strings.Count(string(text), `"caller":":1.5"`); err != nil || lines != count {
		t.Errorf("%d lines, %v, want %d", lines, err, count)
	}
}
