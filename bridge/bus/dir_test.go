package bus_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"qmp-dbus-bridge/bridge/bus"
	"qmp-dbus-bridge/e2e/rig"
)

// doors are the ways in which a directory is open, by the mode that it has then.
var doors = map[os.FileMode]func(dir string) bus.Config{
	0o700: private,
	0o711: shared,
	0o750: grouped,
}

// grouped is a shared bus with a daemon of another user, for one group.
func grouped(dir string) bus.Config {
	c := shared(dir)
	c.Bridge = rig.Root.UID
	c.User, c.Group = &rig.UUCP.UID, &rig.Carol.GID
	return c
}

// directories are what may be at DIR before Start: want is part of the error,
// or empty if Start takes it; door is the mode that it needs.
var directories = []struct {
	name string
	make func(t *testing.T, dir string)
	door os.FileMode
	want string
}{
	{"symbolic link", func(t *testing.T, dir string) {
		mkdir(t, dir+"2", 0o700)
		mustDo(t, os.Symlink(dir+"2", dir))
	}, 0o700, "symbolic link"},
	{"dangling link", func(t *testing.T, dir string) { mustDo(t, os.Symlink(dir+"2", dir)) }, 0o700, "symbolic link"},
	{"file", func(t *testing.T, dir string) {
		mustDo(t, os.WriteFile(dir, nil, 0o600))
	}, 0o700, "not a directory"},
	{"wider and not only the bus's", func(t *testing.T, dir string) { inhabited(t, dir, 0o755) }, 0o700, "has mode 0755, more than the 0700 that the granted subjects need, and is not the bus's alone"},
	{"open to another group, and not only the bus's", func(t *testing.T, dir string) {
		inhabited(t, dir, 0o750)
		mustDo(t, os.Chown(dir, 0, int(rig.Bob.GID)))
	}, 0o750, "is open to gid 2, and not to gid 60, and is not the bus's alone"},
	{"group may write", func(t *testing.T, dir string) { mkdir(t, dir, 0o770) }, 0o750, "can be written by others (mode 0770): remove it"},
	{"others may write", func(t *testing.T, dir string) { mkdir(t, dir, 0o702) }, 0o700, "can be written by others (mode 0702): remove it"},
	{"sticky", func(t *testing.T, dir string) { mkdir(t, dir, 0o777|os.ModeSticky) }, 0o711, "can be written by others (mode 0777): remove it"},
	{"somebody else's", func(t *testing.T, dir string) {
		mkdir(t, dir, 0o700)
		mustDo(t, os.Chown(dir, int(rig.Alice.UID), 0))
	}, 0o700, "belongs to uid 1"},
	{"neither ours nor the daemon's", func(t *testing.T, dir string) {
		mkdir(t, dir, 0o700)
		mustDo(t, os.Chown(dir, int(rig.Alice.UID), 0))
	}, 0o750, "belongs to uid 1"},
	{"below somebody else's", func(t *testing.T, dir string) {
		mustDo(t, os.Chown(filepath.Dir(dir), int(rig.Alice.UID), 0))
	}, 0o700, "belongs to uid 1, neither to root nor to uid 0"},
	{"below the daemon's", func(t *testing.T, dir string) {
		mustDo(t, os.Chown(filepath.Dir(dir), int(rig.UUCP.UID), 0))
	}, 0o750, "belongs to uid 10, neither to root nor to uid 0"},
	{"below what others may write", func(t *testing.T, dir string) {
		mustDo(t, os.Chmod(filepath.Dir(dir), 0o777))
	}, 0o700, "can be written by others"},
	{"below what the group may write", func(t *testing.T, dir string) {
		mustDo(t, os.Chmod(filepath.Dir(dir), 0o775))
	}, 0o700, "can be written by others"},
	{"something in the socket's place", func(t *testing.T, dir string) {
		mkdir(t, dir, 0o700)
		mustDo(t, os.Mkdir(filepath.Join(dir, "bus"), 0o700))
	}, 0o700, "is no socket: choose another directory"},
	{"a link in the socket's place", func(t *testing.T, dir string) {
		mkdir(t, dir, 0o700)
		mustDo(t, os.Symlink("/run/dbus/system_bus_socket", filepath.Join(dir, "bus")))
	}, 0o750, "is no socket: choose another directory"},
	{"a link in the configuration's place", func(t *testing.T, dir string) { // which is removed, not followed
		mkdir(t, dir, 0o700)
		mustDo(t, os.Symlink("/dev/null", filepath.Join(dir, "bus.conf")))
	}, 0o750, ""},
	{"below what is sticky", func(t *testing.T, dir string) {
		mustDo(t, os.Chmod(filepath.Dir(dir), 0o777|os.ModeSticky))
	}, 0o700, ""},
	{"stale", func(t *testing.T, dir string) { mkdir(t, dir, 0o700); leaveRemains(t, dir) }, 0o700, ""},
	{"narrower", func(t *testing.T, dir string) { mkdir(t, dir, 0o700) }, 0o711, ""},
	{"narrower than the group's", func(t *testing.T, dir string) { mkdir(t, dir, 0o700) }, 0o750, ""},
	{"left wider", func(t *testing.T, dir string) { mkdir(t, dir, 0o755); leaveRemains(t, dir) }, 0o700, ""},
	{"left for others", func(t *testing.T, dir string) { mkdir(t, dir, 0o711); leaveRemains(t, dir) }, 0o750, ""},
	{"left for a group", func(t *testing.T, dir string) { mkdir(t, dir, 0o750); leaveRemains(t, dir) }, 0o711, ""},
	{"left for another group", func(t *testing.T, dir string) {
		mkdir(t, dir, 0o750)
		mustDo(t, os.Chown(dir, 0, int(rig.Bob.GID)))
	}, 0o750, ""},
	{"left by the daemon's user", func(t *testing.T, dir string) {
		mkdir(t, dir, 0o750)
		mustDo(t, os.Chown(dir, int(rig.UUCP.UID), int(rig.Carol.GID)))
	}, 0o750, ""},
	{"missing", func(*testing.T, string) {}, 0o711, ""},
	{"missing for the group", func(*testing.T, string) {}, 0o750, ""},
}

func TestDirectory(t *testing.T) {
	rig.Require(t, "dbus-daemon")
	rig.RequireRoot(t) // to give directories away
	for _, tt := range directories {
		t.Run(strings.ReplaceAll(tt.name, " ", "-"), func(t *testing.T) {
			dir := filepath.Join(rig.TempDir(t), "vm")
			config := doors[tt.door](dir)
			tt.make(t, dir)
			if tt.want != "" {
				startFails(t, config, tt.want)
				return
			}
			d := start(t, func(string) bus.Config { return config })
			if got := mode(t, dir); got != tt.door {
				t.Errorf("mode %04o, want %04o", got, tt.door)
			}
			rig.Root.MustDial(t, d.Address())
		})
	}
}

// TestDoors has those whom the directory lets pass meet the bus, and nobody else.
func TestDoors(t *testing.T) {
	rig.RequireRoot(t)
	for _, tt := range []struct {
		door    os.FileMode
		user    rig.User
		reaches bool
	}{
		{0o700, rig.Bob, false},
		{0o700, rig.Alice, false},
		{0o711, rig.Bob, true}, // and is refused by the bus
		{0o711, rig.Alice, true},
		{0o750, rig.Bob, false},
		{0o750, rig.Alice, false}, // granted, and not in the group
		{0o750, rig.Carol, true},
		{0o750, rig.UUCP, true}, // the daemon's user owns it
	} {
		d := start(t, doors[tt.door])
		_, err := tt.user.Dial(d.Address())
		if reaches := !errors.Is(err, fs.ErrPermission); reaches != tt.reaches {
			t.Errorf("mode %04o: uid %d reaches the socket: %v (%v), want %v", tt.door, tt.user.UID, reaches, err, tt.reaches)
		}
	}
}

// TestDaemonUser: dbus-daemon has the user's uid.
func TestDaemonUser(t *testing.T) {
	rig.RequireRoot(t)
	d := start(t, func(dir string) bus.Config {
		c := private(dir)
		c.User = &rig.Carol.UID
		return c
	})
	if uid := rig.UID(t, d.PID()); uid != rig.Carol.UID {
		t.Errorf("dbus-daemon runs as uid %d, want %d", uid, rig.Carol.UID)
	}
	rig.Root.MustDial(t, d.Address())
}

func TestDaemonUserRefused(t *testing.T) {
	rig.RequireRoot(t)
	dir := filepath.Join(rig.TempDir(t), "closed", "vm")
	mkdir(t, filepath.Dir(dir), 0o700)
	unknown := uint32(4000000)
	for _, tt := range []struct {
		user *uint32
		want string
	}{
		{&unknown, "the bus's user: user: unknown userid 4000000"},
		{&rig.UUCP.UID, "uid 10 can't reach it: " + filepath.Dir(dir) + " is closed to others"},
	} {
		c := private(dir)
		c.User = tt.user
		startFails(t, c, tt.want)
	}
}

// TestOneOfMany has several bridges make the same directory, use it and remove it at the same time: all
// are told that it is in use, or have it alone.
func TestOneOfMany(t *testing.T) {
	rig.Require(t, "dbus-daemon")
	dir := filepath.Join(rig.TempDir(t), "above", "vm")
	var using atomic.Int32
	var started atomic.Int32
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 8 {
				d, err := bus.Start(context.Background(), private(dir))
				if err != nil {
					if !strings.Contains(err.Error(), "in use by another bridge") && !errors.Is(err, fs.ErrNotExist) {
						t.Errorf("Start = %v", err)
					}
					continue
				}
				started.Add(1)
				if n := using.Add(1); n != 1 {
					t.Errorf("%d bridges use the directory", n)
				}
				using.Add(-1)
				if err := d.Close(); err != nil {
					t.Errorf("Close = %v", err)
				}
			}
		})
	}
	all.Wait()
	if started.Load() == 0 {
		t.Error("no bridge ever had it")
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

// TestInUse: what another bridge uses is in use, whoever may pass, and stays as it is.
func TestInUse(t *testing.T) {
	rig.RequireRoot(t)
	d := start(t, shared)
	dir := filepath.Dir(strings.TrimPrefix(d.Address(), "unix:path="))
	startFails(t, private(dir), dir+" is in use by another bridge: choose another with --name or --bus-dir")
	if got := mode(t, dir); got != 0o711 {
		t.Errorf("mode %04o, want 0711", got)
	}
	rig.Alice.MustDial(t, d.Address())
}

// TestLeftover: a directory that a killed bridge left is removed in the end by the one that takes it.
func TestLeftover(t *testing.T) {
	rig.Require(t, "dbus-daemon")
	dir := filepath.Join(rig.TempDir(t), "vm")
	mkdir(t, dir, 0o711)
	leaveRemains(t, dir)
	d, err := bus.Start(context.Background(), private(dir))
	mustDo(t, err)
	if got := mode(t, dir); got != 0o700 {
		t.Errorf("mode %04o, want 0700", got)
	}
	mustDo(t, d.Close())
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory is left: %v", err)
	}
}

// leaveRemains leaves what a bus does that was killed.
func leaveRemains(t *testing.T, dir string) {
	t.Helper()
	mustDo(t, os.WriteFile(filepath.Join(dir, "bus.conf"), nil, 0o600))
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "bus"), Net: "unix"})
	mustDo(t, err)
	l.SetUnlinkOnClose(false)
	mustDo(t, l.Close())
}

// inhabited makes a directory that somebody else uses too.
func inhabited(t *testing.T, dir string, mode os.FileMode) {
	t.Helper()
	mkdir(t, dir, mode)
	mustDo(t, os.WriteFile(filepath.Join(dir, "other"), nil, 0o600))
}

func mkdir(t *testing.T, dir string, mode os.FileMode) {
	t.Helper()
	mustDo(t, os.Mkdir(dir, 0o700))
	mustDo(t, os.Chmod(dir, mode))
}
