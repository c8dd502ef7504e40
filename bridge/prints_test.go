package bridge_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/e2e/rig"
)

// memories are the memory files that this process has open, but those that a caller has.
func memories(tb testing.TB) (list []string) {
	tb.Helper()
	names, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		tb.Fatal(err)
	}
	for _, name := range names {
		if target, err := os.Readlink(name); err == nil && strings.Contains(target, "memfd:") {
			list = append(list, target)
		}
	}
	return list
}

// noMemories waits until none is open.
func noMemories(tb testing.TB) {
	tb.Helper()
	rig.Eventually(tb, "no memory file is open", func() bool { return len(memories(tb)) == 0 })
}

// TestMaxScreenshots takes screenshots up to the limits and one past them.
func TestMaxScreenshots(t *testing.T) {
	const ofUser, all = 8, 32 // see docs/api.md
	m := newMachine(t, nil)
	newScreen(m)
	w := newWorld(t, m.dial)
	w.cedar = []string{`permit (principal, action == Action::"screendump", resource);`}
	w.join()
	w.run()
	var open []int
	closeAll := func(fds []int) {
		for _, fd := range fds {
			unix.Close(fd)
		}
	}
	for i, user := range []rig.User{viewer, operator, helper, admin, stranger} {
		a, b := w.as(user), w.as(user)
		for n := range ofUser {
			image, err := []*caller{a, b}[n%2].call(vmPath, screenshot, none)
			if i*ofUser+n < all && err == nil {
				open = append(open, int(image.(dbus.UnixFD)))
				continue
			}
			if i*ofUser+n < all || errorName(err) != dbusError+"LimitsExceeded" {
				t.Errorf("user %d, screenshot %d: %v, %v", i, n, image, err)
			}
		}
		if _, err := b.shoot(none); errorName(err) != dbusError+"LimitsExceeded" {
			t.Errorf("one past the limit: %v", err)
		}
	}
	if len(open) != all {
		t.Fatalf("%d are open, want %d", len(open), all)
	}
	closeAll(open[:1])
	if _, err := w.as(viewer).shoot(none); err != nil {
		t.Errorf("after one was closed: %v", err)
	}
	mapped, err := unix.Mmap(open[1], 0, 1, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	closeAll(open[1:])
	rig.Eventually(t, "only the one that is mapped is held", func() bool { return len(memories(t)) == 1 })
	if err := unix.Munmap(mapped); err != nil {
		t.Error(err)
	}
	noMemories(t) // without another call
}
