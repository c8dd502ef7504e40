package e2e_test

import (
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"qmp-dbus-bridge/e2e/rig"
)

const (
	migrationIf   = busName + ".Migration"
	migrationPath = vmPath + "/migration"
)

// How fast a migration may be, in bytes a second: some 60 s for a guest, so that much can happen meanwhile, or as fast as can be.
const (
	slow = uint64(512 << 10)
	fast = uint64(1 << 40)
)

// migrates calls a method of the migration, which must succeed.
func (c *client) migrates(t testing.TB, method string, args ...any) {
	t.Helper()
	if err := migrate(c.conn, method, args...); err != nil {
		t.Fatalf("%s%v: %v", method, args, err)
	}
}

func migrate(conn *dbus.Conn, method string, args ...any) error {
	return conn.Object(busName, migrationPath).Call(migrationIf+"."+method, 0, args...).Err
}

// setSpeed bounds how fast the migration is.
func (c *client) setSpeed(t testing.TB, speed uint64) {
	t.Helper()
	c.migrates(t, "SetParameters", options("max-bandwidth", speed))
}

// migration is what a client of its own hears of one.
type migration struct {
	signals <-chan *dbus.Signal
	now     map[string]dbus.Variant
}

// followMigration reads it as it is, and then listens only.
func followMigration(t testing.TB, b *bridge) *migration {
	t.Helper()
	conn := rig.Self().MustDial(t, b.address)
	m := &migration{signals: watch(t, conn, dbus.WithMatchPathNamespace(vmPath))}
	if err := conn.Object(busName, migrationPath).Call(propsIf+".GetAll", 0, migrationIf).Store(&m.now); err != nil {
		t.Fatal(err)
	}
	return m
}

// until waits until a signal tells what is wanted.
func (m *migration) until(t testing.TB, what string, wanted func() bool) {
	t.Helper()
	patience := time.After(rig.Timeout)
	for !wanted() {
		select {
		case s := <-m.signals:
			m.hear(s)
		case <-patience:
			t.Fatalf("%s: not within %v; the last: %v", what, rig.Timeout, m.now)
		}
	}
}

func (m *migration) hear(s *dbus.Signal) {
	switch {
	case s.Name == propsIf+".PropertiesChanged" && s.Path == migrationPath:
		maps.Copy(m.now, s.Body[1].(map[string]dbus.Variant))
	case s.Name == objectManager+".InterfacesRemoved" && s.Body[0] == migrationPath:
		m.now = map[string]dbus.Variant{}
	case s.Name == objectManager+".InterfacesAdded" && s.Body[0] == migrationPath:
		m.now = s.Body[1].(map[string]map[string]dbus.Variant)[migrationIf]
	}
}

func (m *migration) status() string {
	status, _ := m.now["Status"].Value().(string)
	return status
}

func (m *migration) progress() float64 {
	progress, _ := m.now["Progress"].Value().(float64)
	return progress
}

func (m *migration) transferred() uint64 {
	transferred, _ := m.now["Transferred"].Value().(uint64)
	return transferred
}

// untilStatus waits for a status.
func (m *migration) untilStatus(t testing.TB, status string) {
	t.Helper()
	m.until(t, "Status is "+status, func() bool { return m.status() == status })
}

// untilHalfway waits until some is done and not all, and then for more.
func (m *migration) untilHalfway(t testing.TB) {
	t.Helper()
	m.until(t, "it is under way", func() bool { return m.status() == "active" && m.progress() > 0 && m.progress() < 1 })
	before := m.transferred()
	m.until(t, "it gets on", func() bool { return m.transferred() > before })
}

// beats has a process in a guest that goes on as long as the guest does.
func beats(t testing.TB, guest *rig.Shell) {
	t.Helper()
	guest.Run(t, "echo from the source >/tmp/kept")
	guest.Run(t, "(while :; do cut -d ' ' -f 1 /proc/uptime >/tmp/new; mv /tmp/new /tmp/beat; usleep 20000; done) &")
	guest.Await(t, "test -e /tmp/beat")
}

// stillBeats fails unless the guest has what it had, and its process goes on.
func stillBeats(t testing.TB, guest *rig.Shell) {
	t.Helper()
	if kept := guest.Run(t, "cat /tmp/kept"); kept != "from the source" {
		t.Errorf("the guest's file has %q", kept)
	}
	guest.Await(t, "test $(cat /tmp/beat) != "+guest.Run(t, "cat /tmp/beat"))
}

// incoming starts a QEMU that waits for a guest, at a path or by another URI, and a bridge for it.
func incoming(t testing.TB, qemu, uri string) (dir string, vm *rig.QEMU, l line) {
	t.Helper()
	dir = rig.TempDir(t)
	vm = rig.StartQEMU(t, rig.QEMU{Dir: dir, Program: qemu, Args: append(rig.GuestArgs(t, dir), "-incoming", uri)})
	return dir, vm, serveByLine(t, vm)
}

// TestMigration moves a running guest from one QEMU to another, each behind a bridge of its own: objects on both sides
// tell how it goes, without MIGRATION events, the guest goes on where it was, and only the second runs it.
func TestMigration(t *testing.T) { testMigration(t, rig.QEMUProgram(), line.nothing) }

// TestMigrationInterrupted is TestMigration with both bridges cut off their QEMUs while it is under way.
func TestMigrationInterrupted(t *testing.T) { testMigration(t, rig.QEMUProgram(), line.interrupt) }

// TestMigrationOfNewerQEMU is TestMigration on another version.
func TestMigrationOfNewerQEMU(t *testing.T) { testMigration(t, rig.OtherQEMU(t, "10"), line.nothing) }

func testMigration(t *testing.T, qemu string, midway func(line, testing.TB, flight)) {
	guest := rig.StartGuest(t, rig.QEMU{Program: qemu})
	beats(t, guest.Shell)
	leaving := serveByLine(t, guest.QEMU)
	source := dial(t, leaving.bridge)
	uri := "unix:" + filepath.Join(rig.TempDir(t), "migration")
	dir, _, arriving := incoming(t, qemu, uri)
	target := dial(t, arriving.bridge)
	if status := get[string](t, target.conn, "Status"); status != "inmigrate" {
		t.Errorf("the target's Status = %q, want inmigrate", status)
	}

	leaves, arrives := followMigration(t, leaving.bridge), followMigration(t, arriving.bridge)
	source.setSpeed(t, slow)
	source.migrates(t, "Start", dbus.MakeVariant(uri), options())
	arrives.untilStatus(t, "active")
	leaves.untilHalfway(t)
	for _, l := range []line{leaving, arriving} {
		midway(l, t, asking)
	}
	leaves.untilHalfway(t)
	source.setSpeed(t, fast)
	for _, m := range []*migration{leaves, arrives} {
		m.untilStatus(t, "completed")
		if m.progress() != 1 {
			t.Errorf("completed: %v", m.now)
		}
	}
	if leaves.now["Remaining"].Value() != uint64(0) || leaves.now["Total"].Value().(uint64) < 128<<20 {
		t.Errorf("completed: %v", leaves.now)
	}
	rig.Eventually(t, "the properties show who runs the guest", func() bool {
		return get[string](t, source.conn, "Status") == "postmigrate" && get[string](t, target.conn, "Status") == "running"
	})
	if get[bool](t, source.conn, "Running") || !get[bool](t, target.conn, "Running") {
		t.Error("want Running false at the source, true at the target")
	}
	stillBeats(t, rig.DialShell(t, dir))
}

// TestMigrationEvents has a migration tell by its events too.
func TestMigrationEvents(t *testing.T) {
	uri := "unix:" + filepath.Join(rig.TempDir(t), "migration")
	vm := rig.StartQEMU(t, rig.QEMU{})
	target := dial(t, serveQEMU(t, rig.StartQEMU(t, rig.QEMU{Args: []string{"-incoming", uri}})))
	source := dial(t, serveQEMU(t, vm))
	for _, c := range []*client{source, target} {
		c.call(t, "MigrateSetCapabilities", []map[string]dbus.Variant{options("capability", "events", "state", true)})
	}
	source.call(t, "Migrate", options("uri", uri))
	for _, c := range []*client{source, target} {
		c.event(t, "Migration", "status", "completed")
		rig.Eventually(t, "the object shows it", func() bool { return objects(t, c.conn)["migration"]["Status"].Value() == "completed" })
	}
}

// TestMigrationToDescriptor has a user who may migrate only over a connection of his own making move a guest to another
// QEMU, and not to where he likes. The bridge is cut off QEMU meanwhile, which has the descriptor by then.
func TestMigrationToDescriptor(t *testing.T) {
	rig.RequireRoot(t)
	guest := rig.StartGuest(t, rig.QEMU{})
	beats(t, guest.Shell)
	policy := filepath.Join(rig.TempDir(t), "policy.cedar")
	write(t, policy, `@id("over") permit (principal in User::"1", action == Action::"migrate", resource) when {
		["uri"].containsAll(context.argumentNames) && context.arguments.uri == "fd:"
	};`)
	l := serveByLine(t, guest.QEMU, "--grant", "viewer=uid:1", "--policy", policy)
	b, root := l.bridge, dial(t, l.bridge)
	alice := rig.Alice.MustDial(t, b.address)
	socket := filepath.Join(rig.TempDir(t), "migration")
	dir, _, target := incoming(t, "", "unix:"+socket)

	made := filepath.Join(rig.TempDir(t), "made")
	for _, target := range []string{"exec:touch " + made, "unix:" + socket, ""} {
		wantError(t, migrate(alice, "Start", dbus.MakeVariant(target), options()), dbusError+"AccessDenied")
	}
	wantError(t, migrate(alice, "Start", dbus.MakeVariant("fd:0"), options()), dbusError+"InvalidArgs") // not a descriptor of hers
	for _, method := range []string{"Cancel", "PauseCopy", "Continue"} {
		wantError(t, migrate(alice, method), dbusError+"AccessDenied")
	}
	wantError(t, migrate(alice, "SetParameters", options("max-bandwidth", slow)), dbusError+"AccessDenied")
	if _, err := os.Stat(made); err == nil {
		t.Error("exec: was executed")
	}

	root.setSpeed(t, slow)
	before := len(rig.FDs(t, b.PID()))
	leaves, arrives := followMigration(t, b), followMigration(t, target.bridge)
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	file, err := conn.(*net.UnixConn).File()
	if err != nil {
		t.Fatal(err)
	}
	if err := migrate(alice, "Start", dbus.MakeVariant(dbus.UnixFD(file.Fd())), options()); err != nil {
		t.Fatal(err)
	}
	file.Close()
	conn.Close()
	leaves.untilHalfway(t)
	l.interrupt(t, asking)
	leaves.untilHalfway(t)
	root.setSpeed(t, fast)
	leaves.untilStatus(t, "completed")
	arrives.untilStatus(t, "completed")
	stillBeats(t, rig.DialShell(t, dir))
	rig.Eventually(t, "the bridge has closed what it passed on", func() bool { return len(rig.FDs(t, b.PID())) <= before })
}

// toFile saves a guest to the file argv[1] and prints each status that it hears of.
const toFile = `
import os, sys
import dbus, dbus.bus
from dbus.mainloop.glib import DBusGMainLoop
from gi.repository import GLib

bus = dbus.bus.BusConnection(os.environ["BUS"], mainloop=DBusGMainLoop())
migration = dbus.Interface(bus.get_object("org.qemu.VM1", "/org/qemu/VM1/migration"), "org.qemu.VM1.Migration")
loop = GLib.MainLoop()

def changed(interface, properties, invalidated):
    if "Status" in properties:
        print(properties["Status"], flush=True)
        if properties["Status"] in ("completed", "failed", "cancelled"):
            loop.quit()

bus.add_signal_receiver(changed, signal_name="PropertiesChanged", path="/org/qemu/VM1/migration")
with open(sys.argv[1], "wb") as file:
    migration.Start(dbus.types.UnixFd(file, variant_level=1), {})
loop.run()
`

// TestMigrationEnds has migrations of one guest end in each way, with two bridges at two monitors of its QEMU.
func TestMigrationEnds(t *testing.T) { testMigrationEnds(t, rig.QEMUProgram()) }

// TestMigrationEndsOfNewerQEMU is TestMigrationEnds on another version.
func TestMigrationEndsOfNewerQEMU(t *testing.T) { testMigrationEnds(t, rig.OtherQEMU(t, "10")) }

func testMigrationEnds(t *testing.T, qemu string) {
	guest := rig.StartGuest(t, rig.QEMU{Program: qemu, Count: 2})
	beats(t, guest.Shell)
	first := serveQEMU(t, guest.QEMU)
	second := serveByLine(t, &rig.QEMU{Monitors: guest.Monitors[1:]})
	c, m, others := dial(t, first), followMigration(t, first), followMigration(t, second.bridge)

	notYet := "Continue is for a migration whose Status is pre-switchover, as the capability pause-before-switchover makes it: " +
		"Migration not in expected state: none"
	if err := migrate(c.conn, "Continue"); errorName(err) != "org.qemu.VM1.Error.Qmp.GenericError" || err.Error() != notYet {
		t.Errorf("Continue of no migration: %v, want %s", err, notYet)
	}

	nowhere := "unix:" + filepath.Join(rig.TempDir(t), "nothing")
	c.migrates(t, "Start", dbus.MakeVariant(nowhere), options())
	m.untilStatus(t, "failed")
	lastError := func() string { return objects(t, c.conn)["migration"]["Error"].Value().(string) }
	if told := lastError(); !strings.HasPrefix(told, "Failed to connect to '") {
		t.Errorf("Error = %q, want QEMU's words", told)
	}

	c.setSpeed(t, slow)
	c.migrates(t, "Start", dbus.MakeVariant("exec:cat >/dev/null"), options())
	m.untilHalfway(t)
	if told := lastError(); told != "" {
		t.Errorf("another migration has the error of the one before: %s", told)
	}
	c.migrates(t, "Cancel")
	m.untilStatus(t, "cancelled")
	if !get[bool](t, c.conn, "Running") {
		t.Error("the guest does not run after Cancel")
	}

	c.migrates(t, "Start", dbus.MakeVariant("exec:cat >/dev/null"), options())
	m.untilHalfway(t)
	second.Cut() // the second bridge sees it when it has reached QEMU again
	others.until(t, "the second bridge has lost QEMU", func() bool { return len(others.now) == 0 })
	others.untilHalfway(t)
	if err := migrate(rig.Self().MustDial(t, second.address), "Cancel"); err != nil {
		t.Fatal(err)
	}
	m.untilStatus(t, "cancelled")
	others.untilStatus(t, "cancelled")

	c.setSpeed(t, fast)
	file := filepath.Join(rig.TempDir(t), "saved")
	rig.Require(t, "/usr/bin/python3")
	python := exec.Command("/usr/bin/python3", "-c", toFile, file)
	python.Env = append(os.Environ(), "BUS="+first.address)
	if printed, status := rig.Run(t, python); status != 0 || !strings.HasSuffix(printed, "completed\n") {
		t.Fatalf("python3 printed %q", printed)
	}
	others.untilStatus(t, "completed") // the guest has stopped, which an event tells
	guest.Stop()

	dir, _, l := incoming(t, qemu, "exec:cat "+file)
	followMigration(t, l.bridge).untilStatus(t, "completed")
	stillBeats(t, rig.DialShell(t, dir))
}
