package bus_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/bridge/bus"
	"qmp-dbus-bridge/e2e/rig"
)

func TestStartAndClose(t *testing.T) {
	rig.Require(t, "dbus-daemon")
	dir := filepath.Join(rig.TempDir(t), "above", "vm")
	d, err := bus.Start(context.Background(), private(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for path, want := range map[string]os.FileMode{
		filepath.Dir(dir): 0o755, dir: 0o700, filepath.Join(dir, "bus.conf"): 0o600,
	} {
		if got := mode(t, path); got != want {
			t.Errorf("%s has mode %04o, want %04o", path, got, want)
		}
	}
	if want := "unix:path=" + dir + "/bus"; d.Address() != want {
		t.Errorf("Address() = %s, want %s", d.Address(), want)
	}
	serve(t, rig.Self(), d.Address(), bus.DefaultBusName)
	for range 2 { // the second does nothing
		if err := d.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
	}
	if err := d.Err(); err != nil {
		t.Errorf("Err() after Close = %v", err)
	}
	<-d.Done()
	if rig.Alive(d.PID()) {
		t.Error("dbus-daemon lives after Close")
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory after Close: %v", err)
	}
}

func TestEndsByItself(t *testing.T) {
	d := start(t, private)
	if err := d.Err(); err != nil {
		t.Errorf("Err() while it runs = %v", err)
	}
	if err := unix.Kill(d.PID(), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	select {
	case <-d.Done():
	case <-deadline(t):
		t.Fatal("Done is not closed")
	}
	if err := d.Err(); err == nil || !strings.Contains(err.Error(), "dbus-daemon has ended: signal: killed") {
		t.Errorf("Err() = %v", err)
	}
}

func TestCloseKillsAStuckDaemon(t *testing.T) {
	d := start(t, private)
	if err := unix.Kill(d.PID(), unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil || rig.Alive(d.PID()) {
		t.Errorf("Close() = %v, alive: %v", err, rig.Alive(d.PID()))
	}
}

// TestDiesWithTheBridge kills a process that has started a bus.
func TestDiesWithTheBridge(t *testing.T) {
	if dir := os.Getenv("BUS_DIR"); dir != "" {
		d, err := bus.Start(context.Background(), private(dir))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Printf("pid %d\n", d.PID())
		select {}
	}
	rig.Require(t, "dbus-daemon")
	dir := filepath.Join(rig.TempDir(t), "vm")
	cmd := exec.Command(os.Args[0], "-test.run=^TestDiesWithTheBridge$")
	cmd.Env = append(os.Environ(), "BUS_DIR="+dir)
	bridge := rig.Start(t, cmd)
	bridge.WaitOutput(t, "pid ")
	bridge.WaitOutput(t, "\n")
	var pid int
	if _, err := fmt.Fscanf(bufio.NewReader(strings.NewReader(bridge.Output())), "pid %d", &pid); err != nil {
		t.Fatal(err)
	}
	bridge.Signal(t, unix.SIGKILL)
	bridge.Wait(t)
	rig.Eventually(t, "dbus-daemon dies with the bridge", func() bool { return !rig.Alive(pid) })

	// The next bridge finds a stale socket and starts all the same.
	d, err := bus.Start(context.Background(), private(dir))
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

func TestChildGetsNothingOfOurs(t *testing.T) {
	secret, err := os.Create(filepath.Join(t.TempDir(), "secret"))
	if err != nil {
		t.Fatal(err)
	}
	defer secret.Close()
	inherited, err := unix.FcntlInt(secret.Fd(), unix.F_DUPFD, 60) // not close-on-exec
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(inherited)

	d := start(t, private)
	for fd, target := range rig.FDs(t, d.PID()) {
		if target == secret.Name() {
			t.Errorf("descriptor %d of the child is %s", fd, target)
		}
	}
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", d.PID()))
	if err != nil || len(environ) > 0 {
		t.Errorf("environment of the child: %q, %v", environ, err)
	}
	if flags, err := unix.FcntlInt(uintptr(inherited), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC != 0 {
		t.Errorf("our own descriptor has changed: flags %#x, %v", flags, err)
	}
}

func TestTwoBuses(t *testing.T) {
	dir := filepath.Join(rig.TempDir(t), "vm")
	start(t, func(string) bus.Config { return private(dir) })
	startFails(t, private(dir), "in use by another bridge")
}

func TestForeignBusAnswers(t *testing.T) {
	dir := rig.TempDir(t)
	mustDo(t, os.Chmod(dir, 0o700))
	l, err := net.Listen("unix", filepath.Join(dir, "bus"))
	mustDo(t, err)
	defer l.Close()
	startFails(t, private(dir), "is the socket of a program that is running")
	if _, err := os.Stat(filepath.Join(dir, "bus")); err != nil {
		t.Errorf("the other's socket: %v", err)
	}
}

func TestNotInstalled(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	startFails(t, private(filepath.Join(rig.TempDir(t), "vm")), "install the package dbus-daemon")
}

// The rest has a script in dbus-daemon's place.

func TestDoesNotStart(t *testing.T) {
	impostor(t, "echo first >&2; echo no such luck >&2; exit 3")
	dir := filepath.Join(rig.TempDir(t), "vm")
	startFails(t, private(dir), "dbus-daemon has ended: exit status 3: no such luck")
	if _, err := os.Stat(filepath.Join(dir, "bus.conf")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the configuration after a failed start: %v", err)
	}
}

func TestStartIsBounded(t *testing.T) {
	impostor(t, "exec /bin/sleep 1000")
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	_, err := bus.Start(ctx, private(filepath.Join(rig.TempDir(t), "vm")))
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Start = %v, want the context's error", err)
	}
}

func TestLog(t *testing.T) {
	impostor(t, `echo address >&3; echo hello >&2; echo >&2; echo Failed to set fd limit to 65536: Operation not permitted >&2
		head -c 100000 /dev/zero | tr '\0' x >&2; echo >&2; echo bye >&2; exit 0`)
	var log bytes.Buffer // written by one goroutine, which has ended when Done is closed
	config := private(filepath.Join(rig.TempDir(t), "vm"))
	config.Logger = slog.New(slog.NewTextHandler(&log, nil))
	d, err := bus.Start(context.Background(), config)
	if err != nil {
		t.Fatal(err)
	}
	<-d.Done()
	if want := "dbus-daemon has ended: exit status 0: bye"; d.Err() == nil || d.Err().Error() != want {
		t.Errorf("Err() = %v, want %s", d.Err(), want)
	}
	mustDo(t, d.Close())
	for _, want := range []string{"line=hello\n", "line=bye\n", "line=" + strings.Repeat("x", 1024) + "\n"} {
		if strings.Count(log.String(), want) != 1 {
			t.Errorf("the log lacks %.20q:\n%.400s", want, log.String())
		}
	}
	if strings.Contains(log.String(), "fd limit") {
		t.Errorf("the log has what does no harm:\n%.400s", log.String())
	}
}

// impostor puts a script of /bin/sh first in PATH as dbus-daemon.
func impostor(t *testing.T, script string) {
	t.Helper()
	dir := t.TempDir()
	text := "#!/bin/sh\nPATH=/usr/bin:/bin\n" + script + "\n"
	mustDo(t, os.WriteFile(filepath.Join(dir, "dbus-daemon"), []byte(text), 0o755))
	t.Setenv("PATH", dir)
}

func startFails(t *testing.T, config bus.Config, want string) {
	t.Helper()
	d, err := bus.Start(context.Background(), config)
	if err == nil {
		d.Close()
	}
	if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
		t.Errorf("Start = %v, want one line with %q", err, want)
	}
}

func mode(t *testing.T, path string) os.FileMode {
	t.Helper()
	info, err := os.Lstat(path)
	mustDo(t, err)
	return info.Mode().Perm()
}

func mustDo(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestLogRate has the daemon say as many lines as are logged in a minute, and one more.
func TestLogRate(t *testing.T) {
	const logged = 60
	for _, said := range []int{logged, logged + 1} {
		impostor(t, fmt.Sprintf("echo address >&3; i=0; while [ $i -lt %d ]; do i=$((i+1)); echo line $i >&2; done; exit 0", said))
		var log bytes.Buffer // written by one goroutine, which has ended when Done is closed
		config := private(filepath.Join(rig.TempDir(t), "vm"))
		config.Logger = slog.New(slog.NewTextHandler(&log, nil))
		d, err := bus.Start(context.Background(), config)
		if err != nil {
			t.Fatal(err)
		}
		<-d.Done()
		if want := fmt.Sprintf("line %d", said); d.Err() == nil || !strings.HasSuffix(d.Err().Error(), want) {
			t.Errorf("Err() = %v, want the last line, logged or not", d.Err())
		}
		mustDo(t, d.Close())
		if got := strings.Count(log.String(), "dbus-daemon says"); got != logged {
			t.Errorf("of %d lines %d were logged, want %d", said, got, logged)
		}
		if got := strings.Contains(log.String(), "dbus-daemon said more than is logged\" lines=1"); got != (said > logged) {
			t.Errorf("of %d lines the log says that there were more: %v", said, got)
		}
	}
}
