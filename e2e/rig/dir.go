package rig

import (
	"os"
	"testing"
)

// TempDir makes a directory for the test, removed at its end. Unlike
// t.TempDir's its path is short enough for sockets, and other users
// can pass it (mode 0711).
func TempDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "rig")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TempDir is the same, u's own; it needs root unless u is the test's own user.
func (u User) TempDir(t testing.TB) string {
	t.Helper()
	dir := TempDir(t)
	if err := os.Chown(dir, int(u.UID), int(u.GID)); err != nil {
		t.Fatal(err)
	}
	return dir
}
