package e2e_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"

	"qmp-dbus-bridge/e2e/rig"
)

const notReady = "org.qemu.VM1.Error.HelpersNotReady"

// nowhere is where a migration may go that nobody needs.
const nowhere = "exec:cat >/dev/null"

// starts begins a migration, which must be possible once all helpers have answered in time.
func starts(t testing.TB, conn *dbus.Conn, uri string, options map[string]dbus.Variant) {
	t.Helper()
	rig.Eventually(t, "it begins", func() bool {
		err := migrate(conn, "Start", dbus.MakeVariant(uri), options)
		if err != nil {
			wantError(t, err, notReady)
		}
		return err == nil
	})
}

// refuses has a migration refused, once all helpers have answered in time, for the reason that is wanted.
func refuses(t testing.TB, conn *dbus.Conn, want string, arguments ...any) {
	t.Helper()
	rig.Eventually(t, "it is refused: "+want, func() bool {
		err := migrate(conn, "Start", dbus.MakeVariant(nowhere), options(arguments...))
		wantError(t, err, notReady)
		return err != nil && strings.Contains(err.Error(), want)
	})
}

// stateful is a helper with a state in a file.
type stateful struct {
	*rig.Process
	file string
}

// startHelper starts vmstate.py of docs/helpers.md as u on the bus of a bridge, and returns when it queues. Its state has size bytes, each
// the first of word.
func startHelper(t testing.TB, u rig.User, b *bridge, id string, size int, word string) stateful {
	t.Helper()
	rig.Require(t, "/usr/bin/python3", "setpriv")
	dir := rig.TempDir(t)
	writePrograms(t, dir)
	file := filepath.Join(u.TempDir(t), "state")
	if err := errors.Join(
		os.WriteFile(file, bytes.Repeat([]byte(word[:1]), size), 0o600),
		os.Chown(file, int(u.UID), int(u.GID)),
	); err != nil {
		t.Fatal(err)
	}
	cmd := u.Command("/usr/bin/python3", "-u", filepath.Join(dir, "vmstate.py"), id, file)
	cmd.Env = append(os.Environ(), "BUS="+b.address)
	p := rig.Start(t, cmd)
	p.WaitOutput(t, "queues as")
	return stateful{p, file}
}

// helpersOf are the helpers that a bridge shows, by their elements.
func helpersOf(t testing.TB, conn *dbus.Conn) map[string]map[string]dbus.Variant {
	t.Helper()
	shown := map[string]map[string]dbus.Variant{}
	for path, properties := range objects(t, conn) {
		if element, is := strings.CutPrefix(path, "helper/"); is {
			shown[element] = properties
		}
	}
	return shown
}

// runHelped starts a VM by run, with helpers of their own uids. QEMU has args too, and a uid of its own if it is the one under test: others
// are where only who unpacked them gets.
func runHelped(t testing.TB, qemu, vmstate string, args ...string) *bridge {
	t.Helper()
	rig.Require(t, qemu, "setpriv")
	line := []string{"run", "--bus-dir", filepath.Join(rig.TempDir(t), "bus"), "--power-down-timeout", "1s", vmstate}
	line = append(append(line, castGrants...), "--")
	if qemu == rig.QEMUProgram() {
		line = append(line, "setpriv", "--reuid=9", "--regid=9", "--clear-groups", "--")
	}
	return startBridge(t, slices.Concat(line, []string{qemu}, smallVM[1:], args)...)
}

// TestHelpersMigrate moves a VM with the state of two helpers from one private bus to another: what the helpers at the source
// have saved is loaded by those at the target, byte for byte. A migration that lacks a helper is refused before it begins.
func TestHelpersMigrate(t *testing.T) { testHelpersMigrate(t, rig.QEMUProgram()) }

// TestHelpersMigrateOfNewerQEMU is TestHelpersMigrate on another version.
func TestHelpersMigrateOfNewerQEMU(t *testing.T) { testHelpersMigrate(t, rig.OtherQEMU(t, "10")) }

func testHelpersMigrate(t *testing.T, qemu string) {
	rig.RequireRoot(t)
	dir := rig.TempDir(t)
	if err := os.Chown(dir, int(cast.qemu.UID), int(cast.qemu.GID)); err != nil {
		t.Fatal(err)
	}
	uri := "unix:" + filepath.Join(dir, "migration")
	source, target := runHelped(t, qemu, "--vmstate=tpm,fs-0"), runHelped(t, qemu, "--vmstate=tpm,fs-0", "-incoming", uri)
	from, to := rig.Self().MustDial(t, source.address), rig.Self().MustDial(t, target.address)

	const most = 1 << 20 // what QEMU takes of one helper
	tpm := startHelper(t, cast.helpers[0], source, "tpm", most, "source")
	otherTPM := startHelper(t, cast.helpers[1], target, "tpm", 3, "target")
	otherFS := startHelper(t, cast.helpers[0], target, "fs-0", 3, "unused")
	startHelper(t, cast.helpers[0], target, "other", 3, "other") // whom nobody wants
	refuses(t, from, `no helper on the bus has the Id "fs-0", which the id-list of QEMU's dbus-vmstate names, so the migration would fail at its end: start that helper`)
	leaves, arrives := followMigration(t, source), followMigration(t, target)
	starts(t, from, nowhere, options("helpers", "warn"))
	leaves.untilStatus(t, "failed")
	fs := startHelper(t, cast.helpers[1], source, "fs-0", 5, "from")

	for conn, want := range map[*dbus.Conn]map[string]uint32{
		from: {"tpm": cast.helpers[0].UID, "fs_2d0": cast.helpers[1].UID},
		to:   {"tpm": cast.helpers[1].UID, "fs_2d0": cast.helpers[0].UID, "other": cast.helpers[0].UID},
	} {
		for element, uid := range want {
			var h map[string]dbus.Variant
			rig.Eventually(t, "helper/"+element+" is shown", func() bool { h = helpersOf(t, conn)[element]; return h != nil })
			if h["UID"].Value() != uid || h["Migratable"].Value() != true || !strings.HasPrefix(fmt.Sprint(h["BusName"].Value()), "org.qemu.Helper1.") {
				t.Errorf("helper/%s = %v, want it of uid %d", element, h, uid)
			}
		}
	}
	starts(t, from, uri, options())
	leaves.untilStatus(t, "completed")
	arrives.untilStatus(t, "completed")
	tpm.WaitOutput(t, fmt.Sprintf("saved %d", most))
	fs.WaitOutput(t, "saved 5")
	otherTPM.WaitOutput(t, fmt.Sprintf("loaded %d\n", most))
	otherFS.WaitOutput(t, "loaded 5\n")
	for file, want := range map[string]string{otherTPM.file: strings.Repeat("s", most), otherFS.file: "fffff"} {
		if got := readFile(t, file); got != want {
			t.Errorf("%d bytes were loaded that begin with %.8q, want %d of %.8q", len(got), got, len(want), want)
		}
	}
	tpm.Stop()
	rig.Eventually(t, "a helper that has ended is shown no more", func() bool { return helpersOf(t, from)["tpm"] == nil })
}

// TestHelpersNotReady has a QEMU that is to migrate all helpers' state, and two that claim one Id, one that has none, one that says
// nothing, and each leave: Start says so, until all is well.
func TestHelpersNotReady(t *testing.T) {
	rig.RequireRoot(t)
	b := runHelped(t, rig.QEMUProgram(), "--vmstate")
	conn := rig.Self().MustDial(t, b.address)
	m := followMigration(t, b)
	startHelper(t, cast.helpers[0], b, "same", 1, "first")
	twin := startHelper(t, cast.helpers[1], b, "same", 1, "second")
	for _, arguments := range [][]any{nil, {"helpers", "warn"}} { // QEMU 7.2.22 does not survive it
		refuses(t, conn, `several helpers have the Id "same", at which QEMU would crash: end all but one, or give QEMU's dbus-vmstate an id-list`, arguments...)
	}
	rig.Eventually(t, "both are shown", func() bool {
		shown := helpersOf(t, conn)
		return len(shown) == 2 && shown["same"]["UID"].Value() == cast.helpers[0].UID
	})
	twin.Stop()

	empty := cast.helpers[1].MustDial(t, b.address)
	if _, err := empty.RequestName(vmstateName, 0); err != nil {
		t.Fatal(err)
	}
	refuses(t, conn, "the helper "+empty.Names()[0]+" (uid 10, no Id: org.freedesktop.DBus.Error.")
	empty.Close()

	silent := rig.DialRaw(t, cast.helpers[1], b.address)
	silent.Send(t, rig.CallMessage("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "RequestName", vmstateName, uint32(0)))
	rig.Eventually(t, "it is shown, without an Id", func() bool {
		for _, h := range helpersOf(t, conn) {
			if h["BusName"].Value() == silent.Name && h["Id"].Value() == "" && h["Migratable"].Value() == false {
				return true
			}
		}
		return false
	})
	refuses(t, conn, "the helper "+silent.Name+" (uid 10, no answer) queues for org.qemu.VMState1 and does not tell its Id")
	silent.Close()
	rig.Eventually(t, "it is shown no more", func() bool { return len(helpersOf(t, conn)) == 1 })
	starts(t, conn, nowhere, options())
	m.untilStatus(t, "completed")
}

// TestVMStateComesBack has a QEMU end and come back, and the bridge: each time it gets an object that works.
func TestVMStateComesBack(t *testing.T) {
	rig.RequireRoot(t)
	dir, bus := rig.TempDir(t), filepath.Join(rig.TempDir(t), "bus")
	start := func(awaited bool) *rig.QEMU { return startQEMUAs(t, cast.qemu, rig.QEMU{Dir: dir, Awaited: awaited}) }
	vm := start(false)
	serve := func() (*bridge, *dbus.Conn) {
		b := serveQEMU(t, vm, append([]string{"--bus-dir", bus, "--vmstate"}, castGrants...)...)
		return b, rig.Self().MustDial(t, b.address)
	}
	works := func(b *bridge, conn *dbus.Conn) {
		t.Helper()
		h := startHelper(t, cast.helpers[0], b, "one", 1, "one")
		m := followMigration(t, b)
		starts(t, conn, nowhere, options())
		m.untilStatus(t, "completed")
		h.WaitOutput(t, "saved 1")
		h.Stop()
		rig.Eventually(t, "it has left", func() bool { return get[string](t, conn, "Status") == "postmigrate" })
		if err := conn.Object(busName, vmPath).Call(busName+".Resume", 0).Err; err != nil {
			t.Fatal(err)
		}
	}
	b, conn := serve()
	works(b, conn)
	vm.Stop()
	rig.Eventually(t, "the bridge sees that QEMU has gone", func() bool { return !get[bool](t, conn, "Connected") })
	vm = start(true)
	rig.Eventually(t, "QEMU is back", func() bool { return get[bool](t, conn, "Connected") })
	rig.Eventually(t, "QEMU has its object", func() bool { return strings.Count(b.Output(), "QEMU migrates the state of helpers") == 2 })
	works(b, conn)
	b.Stop() // and with it the bus that QEMU's object is on
	b, conn = serve()
	works(b, conn)
}
