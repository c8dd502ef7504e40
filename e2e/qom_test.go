package e2e_test

import (
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"

	"qmp-dbus-bridge/e2e/rig"
)

const (
	qomPath = vmPath + "/QOM"
	qomIf   = "org.qemu.VM1.QOM"
)

// TestQOM has busctl find all of QEMU's object tree, and every object there answers.
func TestQOM(t *testing.T) {
	onBothBuses(t, func(t *testing.T, flags []string) { testQOM(t, rig.QEMUProgram(), flags) })
}

// TestQOMOfNewerQEMU is TestQOM on another version.
func TestQOMOfNewerQEMU(t *testing.T) { testQOM(t, rig.OtherQEMU(t, "10"), nil) }

func testQOM(t *testing.T, qemu string, flags []string) {
	args := append([]string{"-device", "virtio-rng-pci"}, furniture...)
	vm := rig.StartQEMU(t, rig.QEMU{Program: qemu, Args: args})
	b := serveQEMU(t, vm, flags...)
	c := dial(t, b)
	for _, id := range []string{"a b", "ä", "..", "-", "\x01", "a_2fb", "a/b"} {
		c.call(t, "ChardevAdd", id, options("type", "null", "data", map[string]dbus.Variant{}))
	}
	types := map[dbus.ObjectPath]string{qomPath: "container"}
	walkQOM(t, c.conn, "/", types)
	if diff := cmp.Diff(slices.Sorted(maps.Keys(types)), busctlTree(t, b)); diff != "" {
		t.Errorf("objects (-qom-list +busctl tree):\n%s", diff)
	}
	for path, want := range types {
		object := c.conn.Object(busName, path)
		if got, err := object.GetProperty(qomIf + ".Type"); err != nil || got.Value() != want {
			t.Errorf("Type of %s = %v, %v, want %s", path, got, err, want)
		}
		var list []struct{ Name, Type string }
		if err := object.Call(qomIf+".List", 0).Store(&list); err != nil || !slices.Contains(list, struct{ Name, Type string }{"type", "string"}) {
			t.Errorf("List of %s = %q, %v, want the type too", path, list, err)
		}
	}
	if types[qomPath+"/machine/peripheral_2danon/device_5b0_5d"] != "virtio-rng-pci" || types[qomPath+"/chardevs/_01"] != "chardev-null" {
		t.Errorf("a device without an id, or one with an odd id, is not there: %v", types)
	}

	scsi := qomPath + "/machine/peripheral/scsi0"
	bus, err := c.conn.Object(busName, scsi+"/parent_5fbus").GetProperty(qomIf + ".Type") // a link
	if _, listed := types[scsi+"/parent_5fbus"]; err != nil || bus.Value() != "PCIE" || listed {
		t.Errorf("the bus that a device is on: %v, %v, listed %v; want that it is reached and not listed", bus, err, listed)
	}
	wantError(t, c.conn.Object(busName, scsi+"/nosuch").Call(qomIf+".List", 0).Err, dbusError+"UnknownObject")
	wantError(t, c.conn.Object(busName, scsi).Call(qomIf+".Get", 0, "nosuch").Err, "org.qemu.VM1.Error.Qmp.GenericError")

	signals := watch(t, rig.Self().MustDial(t, b.address), dbus.WithMatchPathNamespace(vmPath))
	vm.Signal(t, syscall.SIGKILL)
	vm.Wait(t)
	appears(t, signals, "InterfacesRemoved", "device/scsi0")
	wantError(t, c.conn.Object(busName, scsi).Call(qomIf+".List", 0).Err, "org.qemu.VM1.Error.Disconnected")
	if tree := busctlTree(t, b); tree != nil {
		t.Errorf("busctl tree without QEMU: %q", tree)
	}
	rig.StartQEMU(t, rig.QEMU{Program: qemu, Dir: vm.Dir, Awaited: true, Args: args})
	untilConnected(t, signals)
	if _, err := c.conn.Object(busName, scsi).GetProperty(qomIf + ".Type"); err != nil {
		t.Errorf("when QEMU is back: %v", err)
	}
}

// TestQOMOfStorageDaemon has a tree without a machine.
func TestQOMOfStorageDaemon(t *testing.T) {
	b := serveQEMU(t, rig.StartStorageDaemon(t))
	want := []dbus.ObjectPath{qomPath, qomPath + "/chardevs", qomPath + "/chardevs/qmp"}
	if diff := cmp.Diff(want, busctlTree(t, b)); diff != "" {
		t.Errorf("objects (-want +busctl tree):\n%s", diff)
	}
}

// walkQOM notes the types of all objects below one in QEMU by their paths on the bus, as qom-list tells it.
func walkQOM(t *testing.T, conn *dbus.Conn, place string, types map[dbus.ObjectPath]string) {
	t.Helper()
	result, err := qmp(conn, "qom-list", map[string]any{"path": place})
	if err != nil {
		t.Fatalf("qom-list %s: %v", place, err)
	}
	for _, property := range result.([]map[string]dbus.Variant) {
		name := property["name"].Value().(string)
		kind, isChild := strings.CutPrefix(property["type"].Value().(string), "child<")
		if !isChild || strings.Contains(name, "/") {
			continue
		}
		below := strings.TrimSuffix(place, "/") + "/" + name
		types[qomPath+dbus.ObjectPath(escaped(below))] = strings.TrimSuffix(kind, ">")
		walkQOM(t, conn, below, types)
	}
}

// escaped is a path in QEMU's tree as one on the bus.
func escaped(place string) (path string) {
	for i := range len(place) {
		switch c := place[i]; {
		case c == '/', 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9' && place[i-1] != '/':
			path += string(rune(c))
		default:
			path += fmt.Sprintf("_%02x", c)
		}
	}
	return path
}

// busctlTree is what busctl finds of QEMU's tree, sorted. It fails if any object does not answer.
func busctlTree(t *testing.T, b *bridge) (tree []dbus.ObjectPath) {
	t.Helper()
	rig.Require(t, "busctl")
	printed, status := rig.Run(t, exec.Command("busctl", "--address="+b.address, "--list", "tree", busName))
	if status != 0 {
		t.Fatalf("busctl tree: exit status %d\n%s", status, printed)
	}
	for line := range strings.Lines(printed) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, string(qomPath)) {
			tree = append(tree, dbus.ObjectPath(line))
		}
	}
	slices.Sort(tree)
	return tree
}
