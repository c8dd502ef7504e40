package e2e_test

import (
	"path/filepath"
	"testing"

	"github.com/godbus/dbus/v5"

	"qmp-dbus-bridge/e2e/rig"
)

// TestMigration moves a running guest from one QEMU to another, each behind a bridge of its own:
// both tell how it goes, the guest goes on where it was, and only the second runs it.
func TestMigration(t *testing.T) {
	source := startGuest(t)
	source.Run(t, "echo from the source >/tmp/kept")
	source.Run(t, "(while :; do cut -d ' ' -f 1 /proc/uptime >/tmp/new; mv /tmp/new /tmp/beat; usleep 20000; done) &")
	source.Await(t, "test -e /tmp/beat")

	dir := rig.TempDir(t)
	uri := "unix:" + filepath.Join(dir, "migration")
	vm := rig.StartQEMU(t, rig.QEMU{Dir: dir, Args: append(rig.GuestArgs(t, dir), "-incoming", uri)})
	target := dial(t, serveQEMU(t, vm))
	if status := get[string](t, target.conn, "Status"); status != "inmigrate" {
		t.Errorf("the target's Status = %q, want inmigrate", status)
	}
	for _, c := range []*client{source.client, target} {
		c.call(t, "MigrateSetCapabilities", []map[string]dbus.Variant{options("capability", "events", "state", true)})
	}

	source.call(t, "Migrate", options("uri", uri))
	for _, c := range []*client{source.client, target} {
		c.event(t, "Migration", "status", "completed")
	}
	if info := source.call(t, "QueryMigrate").(map[string]dbus.Variant); info["status"].Value() != "completed" {
		t.Errorf("QueryMigrate() = %v, want completed", info)
	}
	rig.Eventually(t, "the properties show who runs the guest", func() bool {
		return get[string](t, source.conn, "Status") == "postmigrate" && get[string](t, target.conn, "Status") == "running"
	})
	if get[bool](t, source.conn, "Running") || !get[bool](t, target.conn, "Running") {
		t.Error("want Running false at the source, true at the target")
	}

	shell := rig.DialShell(t, dir)
	if kept := shell.Run(t, "cat /tmp/kept"); kept != "from the source" {
		t.Errorf("the guest's file has %q", kept)
	}
	shell.Await(t, "test $(cat /tmp/beat) != "+shell.Run(t, "cat /tmp/beat")) // its process goes on
}
