package audit_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/bridge/audit"
	"qmp-dbus-bridge/e2e/rig"
)

// auditedNames are the names in the whole lines of audit files, each with how often it is there.
func auditedNames(t *testing.T, paths ...string) map[string]int {
	t.Helper()
	names := map[string]int{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(text) {
			var record struct{ Caller string }
			if !bytes.HasSuffix(line, []byte("\n")) {
				continue // torn by a full disk
			}
			if err := json.Unmarshal(line, &record); err != nil {
				t.Fatalf("%s: %q: %v", path, line, err)
			}
			names[record.Caller]++
		}
	}
	return names
}

func wantEachOnce(t *testing.T, names map[string]int, count int) {
	t.Helper()
	if len(names) != count {
		t.Errorf("%d different records, want %d", len(names), count)
	}
	for name, n := range names {
		if n != 1 {
			t.Errorf("the record of %s is there %d times", name, n)
		}
	}
}

// TestReopen rotates the file again and again while records come.
func TestReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit")
	trail := open(t, path)
	const writers, each = 4, 500
	var all sync.WaitGroup
	for writer := range writers {
		all.Go(func() {
			for i := range each {
				if err := trail.Write(audit.Record{Name: fmt.Sprintf(":%d.%d", writer, i)}); err != nil {
					t.Error(err)
				}
				if i%50 == 0 {
					runtime.Gosched()
				}
			}
		})
	}
	paths := []string{path}
	for i := range 10 {
		old := fmt.Sprintf("%s.%d", path, i)
		if err := os.Rename(path, old); err != nil {
			t.Fatal(err)
		}
		if err := trail.Reopen(); err != nil {
			t.Fatal(err)
		}
		before, err := os.Stat(old)
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, old)
		if err := trail.Write(audit.Record{Name: fmt.Sprintf(":r.%d", i)}); err != nil {
			t.Fatal(err)
		}
		rig.Eventually(t, "the new file gets records", func() bool {
			info, err := os.Stat(path)
			return err == nil && info.Size() > 0
		})
		if after, err := os.Stat(old); err != nil || after.Size() != before.Size() {
			t.Errorf("the old file grew after Reopen: %v", err)
		}
	}
	all.Wait()
	if err := trail.Close(); err != nil {
		t.Fatal(err)
	}
	wantEachOnce(t, auditedNames(t, paths...), writers*each+10)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v, want 0600", info.Mode(), err)
	}
}

// TestReopenRefuses has what OpenAudit refuses at the path: the old file is kept, and said to be.
func TestReopenRefuses(t *testing.T) {
	for name, spoil := range map[string]struct {
		with func(path string) error
		want string
	}{
		"symbolic link": {func(path string) error { return os.Symlink("/dev/null", path) }, "is a symbolic link"},
		"directory":     {func(path string) error { return os.Mkdir(path, 0o700) }, "is a directory"},
		"fifo":          {func(path string) error { return unix.Mkfifo(path, 0o600) }, "no such device"},
		"writable": {func(path string) error {
			file, err := os.Create(path)
			if err == nil {
				err = file.Chmod(0o622)
				file.Close()
			}
			return err
		}, "lets others write"},
		"no directory": {func(path string) error { return os.Rename(filepath.Dir(path), filepath.Dir(path)+".old") }, "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "log")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			path, old := filepath.Join(dir, "audit"), filepath.Join(dir, "audit.1")
			trail := open(t, path)
			if err := os.Rename(path, old); err != nil {
				t.Fatal(err)
			}
			if err := spoil.with(path); err != nil {
				t.Fatal(err)
			}
			fds := len(rig.FDs(t, os.Getpid()))
			err := trail.Reopen()
			if err == nil || !strings.Contains(err.Error(), spoil.want) || !strings.Contains(err.Error(), "going on in the file that is open") {
				t.Errorf("Reopen: %v, want one with %q that says what happens", err, spoil.want)
			}
			if after := len(rig.FDs(t, os.Getpid())); after != fds {
				t.Errorf("%d descriptors, want %d", after, fds)
			}
			if err := trail.Write(audit.Record{Name: ":1.5"}); err != nil {
				t.Fatal(err)
			}
			if err := trail.Close(); err != nil {
				t.Fatal(err)
			}
			if name == "no directory" {
				old = filepath.Join(dir+".old", "audit.1")
			}
			wantEachOnce(t, auditedNames(t, old), 1)
		})
	}
}

// TestReopenOtherDestinations has nothing to do, and leaves no descriptor behind.
func TestReopenOtherDestinations(t *testing.T) {
	reader := withStderr(t)
	stderr := open(t, "stderr")
	file := open(t, filepath.Join(t.TempDir(), "audit"))
	fds := len(rig.FDs(t, os.Getpid()))
	for name, trail := range map[string]*audit.Trail{"stderr": stderr, "none": open(t, "none"), "a file that is still there": file} {
		if err := trail.Reopen(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if after := len(rig.FDs(t, os.Getpid())); after != fds {
		t.Errorf("%d descriptors, want %d", after, fds)
	}
	if err := stderr.Write(audit.Record{Name: ":1.5"}); err != nil {
		t.Fatal(err)
	}
	if n, err := reader.Read(make([]byte, 1000)); n == 0 || err != nil {
		t.Errorf("standard error got %d bytes, %v", n, err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	fds = len(rig.FDs(t, os.Getpid()))
	if err := file.Reopen(); err == nil {
		t.Error("Reopen after Close succeeded")
	}
	if after := len(rig.FDs(t, os.Getpid())); after != fds {
		t.Errorf("%d descriptors after Close, want %d", after, fds)
	}
}

// TestFullDisk fills the disk with half a line. What has no room waits, and is whole in the file that
// takes the full one's place.
func TestFullDisk(t *testing.T) {
	rig.RequireRoot(t)
	inOwnMounts(t, testFullDisk)
}

// inOwnMounts runs a test on a thread that sees mounts of its own.
func inOwnMounts(t *testing.T, test func(t *testing.T)) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
			t.Errorf("unshare: %v", err)
		} else if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			t.Errorf("mount: %v", err)
		} else {
			test(t)
		}
	}()
	<-done
}

func testFullDisk(t *testing.T) {
	full, roomy := t.TempDir(), t.TempDir()
	link := filepath.Join(t.TempDir(), "log")
	if err := unix.Mount("tmpfs", full, "tmpfs", 0, "size=4k"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(full, link); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer // written by one goroutine, which has ended after Close
	trail, err := audit.Open(filepath.Join(link, "audit"), slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	const count = 50
	for i := range count {
		if err := trail.Write(audit.Record{Name: fmt.Sprintf(":1.%d", i)}); err != nil {
			t.Fatal(err)
		}
	}
	rig.Eventually(t, "the disk is full", func() bool {
		info, err := os.Stat(filepath.Join(full, "audit"))
		return err == nil && info.Size() == 4096
	})
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(roomy, link); err != nil {
		t.Fatal(err)
	}
	if err := trail.Reopen(); err != nil {
		t.Fatal(err)
	}
	if err := trail.Close(); err != nil {
		t.Fatal(err)
	}
	wantEachOnce(t, auditedNames(t, filepath.Join(full, "audit"), filepath.Join(roomy, "audit")), count)
	if text := log.String(); strings.Count(text, "no space left on device") != 1 || !strings.Contains(text, "works again") {
		t.Errorf("the log:\n%s", text)
	}
}

// TestUntrustedDirectories has audit files that are root's where somebody else could put another file of root's in their place.
func TestUntrustedDirectories(t *testing.T) {
	rig.RequireRoot(t)
	for name, tt := range map[string]struct {
		uid  int
		mode os.FileMode
		want string // the error, after the directory; empty if it is taken
	}{
		"another's":   {1, 0o755, " belongs to uid 1, neither to root nor to uid 0"},
		"open to all": {0, 0o777, " can be written by others (mode 0777)"},
		"a group's":   {0, 0o775, ""}, // as /var/log of some systems
		"sticky":      {0, 0o777 | os.ModeSticky, ""},
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			dir := rig.TempDir(t)
			file, link := dir+"/audit", filepath.Join(rig.TempDir(t), "link")
			if err := errors.Join(
				os.WriteFile(file, nil, 0o600), os.Symlink(dir, link), os.Chown(dir, tt.uid, 0), os.Chmod(dir, tt.mode),
			); err != nil {
				t.Fatal(err)
			}
			for _, path := range []string{file, link + "/audit"} {
				trail, err := audit.Open(path, slog.New(slog.DiscardHandler))
				if err == nil {
					trail.Close()
				}
				if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), dir+tt.want)) {
					t.Errorf("%v, want %q", err, tt.want)
				}
			}
		})
	}
}

// TestReopenTornLine goes on in a file that has something in it already, and perhaps half a line: a new record begins a
// line. The sandbox lets the file not be read, so that whole lines are followed by an empty one.
func TestReopenTornLine(t *testing.T) {
	for before, want := range map[string]string{"": "", "{}\n": "{}\n\n", `{"tim`: "{\"tim\n"} {
		path := filepath.Join(t.TempDir(), "audit")
		trail := open(t, path)
		if err := os.WriteFile(path+".new", []byte(before), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
		if err := trail.Reopen(); err != nil {
			t.Fatal(err)
		}
		if err := trail.Write(audit.Record{Name: ":1.5"}); err != nil {
			t.Fatal(err)
		}
		if err := trail.Close(); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil || !strings.HasPrefix(string(text), want+`{"time":`) {
			t.Errorf("after %q: %q, %v", before, text, err)
		}
	}
}

// TestTornLine opens a file that ends in the middle of a line.
func TestTornLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit")
	for _, tt := range []struct{ before, want string }{
		{"", ""},
		{"{}\n", "{}\n"},
		{`{"tim`, "{\"tim\n"},
	} {
		if err := os.WriteFile(path, []byte(tt.before), 0o600); err != nil {
			t.Fatal(err)
		}
		trail := open(t, path)
		if err := trail.Write(audit.Record{Name: ":1.5"}); err != nil {
			t.Fatal(err)
		}
		if err := trail.Close(); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil || !strings.HasPrefix(string(text), tt.want+`{"time":`) {
			t.Errorf("after %q: %q, %v", tt.before, text, err)
		}
	}
}
