package bus_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"qmp-dbus-bridge/bridge/bus"
	"qmp-dbus-bridge/e2e/rig"
)

// directories are what may be at DIR before Start: want is part of the error,
// or empty if Start takes it. grant makes others pass.
var directories = []struct {
	name  string
	make  func(t *testing.T, dir string)
	grant bool
	want  string
}{
	{"symbolic link", func(t *testing.T, dir string) {
		mustDo(t, os.Mkdir(dir+"2", 0o700))
		mustDo(t, os.Symlink(dir+"2", dir))
	}, false, "symbolic link"},
	{"file", func(t *testing.T, dir string) {
		mustDo(t, os.WriteFile(dir, nil, 0o600))
	}, false, "not a directory"},
	{"wider", func(t *testing.T, dir string) { mkdir(t, dir, 0o701) }, false, "has mode 0701, more than the 0700"},
	{"wider than shared", func(t *testing.T, dir string) { mkdir(t, dir, 0o715) }, true, "has mode 0715, more than the 0711"},
	{"somebody else's", func(t *testing.T, dir string) {
		mkdir(t, dir, 0o700)
		mustDo(t, os.Chown(dir, int(rig.Alice.UID), 0))
	}, false, "belongs to uid 1"},
	{"below somebody else's", func(t *testing.T, dir string) {
		mustDo(t, os.Chown(filepath.Dir(dir), int(rig.Alice.UID), 0))
	}, false, "not a directory of root's or our own"},
	{"below what others may write", func(t *testing.T, dir string) {
		mustDo(t, os.Chmod(filepath.Dir(dir), 0o777))
	}, false, "can be written by others"},
	{"below what the group may write", func(t *testing.T, dir string) {
		mustDo(t, os.Chmod(filepath.Dir(dir), 0o775))
	}, false, "can be written by others"},
	{"something in the socket's place", func(t *testing.T, dir string) {
		mkdir(t, dir, 0o700)
		mustDo(t, os.Mkdir(filepath.Join(dir, "bus"), 0o700))
	}, false, "in the way"},
	{"below what is sticky", func(t *testing.T, dir string) {
		mustDo(t, os.Chmod(filepath.Dir(dir), 0o777|os.ModeSticky))
	}, false, ""},
	{"stale", func(t *testing.T, dir string) {
		mkdir(t, dir, 0o700)
		mustDo(t, os.WriteFile(filepath.Join(dir, "bus.conf"), nil, 0o600))
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "bus"), Net: "unix"})
		mustDo(t, err)
		l.SetUnlinkOnClose(false)
		mustDo(t, l.Close())
	}, false, ""},
	{"narrower", func(t *testing.T, dir string) { mkdir(t, dir, 0o700) }, true, ""},
	{"missing", func(*testing.T, string) {}, true, ""},
}

func TestDirectory(t *testing.T) {
	rig.Require(t, "dbus-daemon")
	rig.RequireRoot(t) // to give directories away
	for _, tt := range directories {
		t.Run(strings.ReplaceAll(tt.name, " ", "-"), func(t *testing.T) {
			dir := filepath.Join(rig.TempDir(t), "vm")
			config, want := private(dir), os.FileMode(0o700)
			if tt.grant {
				config, want = shared(dir), 0o711
			}
			tt.make(t, dir)
			if tt.want != "" {
				startFails(t, config, tt.want)
				return
			}
			d := start(t, func(string) bus.Config { return config })
			if got := mode(t, dir); got != want {
				t.Errorf("mode %04o, want %04o", got, want)
			}
			rig.Root.MustDial(t, d.Address())
		})
	}
}

// TestLinkedParent: a link above the directory is followed once, and its target is used.
func TestLinkedParent(t *testing.T) {
	above := rig.TempDir(t)
	mustDo(t, os.Mkdir(filepath.Join(above, "real"), 0o755))
	mustDo(t, os.Symlink("real", filepath.Join(above, "link")))
	d := start(t, func(string) bus.Config { return private(filepath.Join(above, "link", "vm")) })
	if want := "unix:path=" + above + "/real/vm/bus"; d.Address() != want {
		t.Errorf("Address() = %s, want %s", d.Address(), want)
	}
}

// TestUnreachable: a directory that others can't reach is worth a word in the log.
func TestUnreachable(t *testing.T) {
	above := rig.TempDir(t)
	mkdir(t, filepath.Join(above, "home"), 0o700)
	var log bytes.Buffer
	start(t, func(string) bus.Config {
		c := private(filepath.Join(above, "home", "vm"))
		c.Callers.UIDs = []uint32{rig.Alice.UID}
		c.Logger = slog.New(slog.NewTextHandler(&log, nil))
		return c
	}).Close()
	if want := `can't reach the bus" directory=` + above + "/home\n"; !strings.Contains(log.String(), want) {
		t.Errorf("the log lacks %q:\n%s", want, &log)
	}
}

// TestKeepsWhatItDidNotMake: Close removes our files, and no others.
func TestKeepsWhatItDidNotMake(t *testing.T) {
	rig.Require(t, "dbus-daemon")
	dir := filepath.Join(rig.TempDir(t), "vm")
	mkdir(t, dir, 0o700)
	d, err := bus.Start(context.Background(), private(dir))
	mustDo(t, err)
	mustDo(t, os.WriteFile(filepath.Join(dir, "other"), nil, 0o600))
	mustDo(t, d.Close())
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != "other" {
		t.Errorf("left in the directory: %v, %v", entries, err)
	}
}

func mkdir(t *testing.T, dir string, mode os.FileMode) {
	t.Helper()
	mustDo(t, os.Mkdir(dir, 0o700))
	mustDo(t, os.Chmod(dir, mode))
}
