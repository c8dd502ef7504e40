package e2e_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
	"github.com/godbus/dbus/v5/introspect"
	"github.com/google/go-cmp/cmp"

	"qmp-dbus-bridge/e2e/rig"
)

const annotation = "org.qemu.VM1.QMP."

// TestTable compares what introspection shows with what QEMU says that it has.
func TestTable(t *testing.T) {
	vm := rig.StartQEMU(t, rig.QEMU{})
	wantTable(t, rig.Self().MustDial(t, serveQEMU(t, vm).address))
}

// untyped are the commands that are no typed methods: the handshake, which is the bridge's
// own, and those whose methods pass file descriptors.
var untyped = []string{"qmp_capabilities", "getfd", "add-fd"}

// wantTable checks that every command of QEMU is a method and that every event is a signal.
func wantTable(t testing.TB, conn *dbus.Conn) {
	t.Helper()
	result, err := qmp(conn, "query-commands", nil)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{}
	for _, command := range result.([]map[string]dbus.Variant) {
		want[command["name"].Value().(string)] = true
	}
	commands, events := table(t, conn)
	for _, name := range untyped {
		delete(want, name)
		delete(commands, name)
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(commands))); diff != "" {
		t.Errorf("methods for commands (-QEMU +bus):\n%s", diff)
	}
	if events["BLOCK_JOB_COMPLETED"] != "BlockJobCompleted" || len(events) < 10 {
		t.Errorf("signals for events: %v", events)
	}
}

// table is what introspection says: the method of each command, the signal of each event.
func table(t testing.TB, conn *dbus.Conn) (commands, events map[string]string) {
	t.Helper()
	node, err := introspect.Call(conn.Object(busName, qmpPath))
	if err != nil {
		t.Fatal(err)
	}
	commands, events = map[string]string{}, map[string]string{}
	for _, i := range node.Interfaces {
		for _, m := range i.Methods {
			note(commands, m.Annotations, "Command", m.Name)
		}
		for _, s := range i.Signals {
			note(events, s.Annotations, "EventName", s.Name)
		}
	}
	return commands, events
}

func note(names map[string]string, annotations []introspect.Annotation, kind, member string) {
	for _, a := range annotations {
		if a.Name == annotation+kind {
			names[a.Value] = member
		}
	}
}

// TestStorageDaemon has a qemu-storage-daemon in QEMU's place: it has no VM, and all that it
// has is typed.
func TestStorageDaemon(t *testing.T) {
	b := serveQEMU(t, rig.StartStorageDaemon(t))
	conn := rig.Self().MustDial(t, b.address)
	for _, name := range []string{"Name", "UUID", "Status", "Target"} {
		if got := get[string](t, conn, name); got != "" {
			t.Errorf("%s = %q, want none", name, got)
		}
	}
	if get[bool](t, conn, "Running") || !get[bool](t, conn, "Connected") || get[string](t, conn, "Version") == "" {
		t.Error("want Connected, a Version, and not Running")
	}
	wantTable(t, conn)

	object := conn.Object(busName, qmpPath)
	options := map[string]dbus.Variant{"node-name": dbus.MakeVariant("n0"), "size": dbus.MakeVariant(4096)}
	if err := object.Call(qmpIf+".BlockdevAdd", 0, "null-co", options).Err; err != nil {
		t.Error(err)
	}
	var nodes []map[string]dbus.Variant
	if err := object.Call(qmpIf+".QueryNamedBlockNodes", 0).Store(&nodes); err != nil {
		t.Error(err)
	}
	if len(nodes) != 1 || nodes[0]["node-name"].Value() != "n0" {
		t.Errorf("QueryNamedBlockNodes() = %v, want n0", nodes)
	}
	wantError(t, object.Call(qmpIf+".Stop", 0).Err, dbusError+"UnknownMethod")
	wantError(t, conn.Object(busName, vmPath).Call(busName+".Pause", 0).Err, "org.qemu.VM1.Error.Qmp.CommandNotFound")
	if strings.Contains(b.Output(), "level=WARN") {
		t.Errorf("it warns of what is no fault:\n%s", b.Output())
	}
}

func wantError(t testing.TB, err error, name string) {
	t.Helper()
	if got := errorName(err); got != name {
		t.Errorf("it ended with %s, want %s", got, name)
	}
}
