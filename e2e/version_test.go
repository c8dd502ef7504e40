package e2e_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"qmp-dbus-bridge/e2e/rig"
)

// TestAnotherVersion has QEMUs of other versions come back at the same path: their commands
// take the place of those before, clients are told, and the old ones are gone.
func TestAnotherVersion(t *testing.T) {
	const debian = "qemu-system-x86_64"
	newer := rig.OtherQEMU(t, "10")
	vm := rig.StartQEMU(t, rig.QEMU{Program: debian})
	b := serveQEMU(t, vm)
	conn := rig.Self().MustDial(t, b.address)
	first := get[string](t, conn, "Version")
	before, _ := table(t, conn)
	wantTable(t, conn)
	signals := watch(t, conn, dbus.WithMatchPathNamespace(vmPath))

	vm = replaceQEMU(t, vm, newer, signals)
	if version := get[string](t, conn, "Version"); !strings.HasPrefix(version, "10.") {
		t.Errorf("Version = %q, want 10 after %s", version, first)
	}
	wantTable(t, conn)
	now, _ := table(t, conn)
	if len(now) <= len(before) || now["x-query-rdma"] != "" || before["query-audiodevs"] != "" {
		t.Errorf("%d commands after %d; want more, with query-audiodevs and without x-query-rdma", len(now), len(before))
	}
	object := conn.Object(busName, qmpPath)
	var devices []map[string]dbus.Variant
	if err := object.Call(qmpIf+".QueryAudiodevs", 0).Store(&devices); err != nil {
		t.Errorf("a command that only the newer has: %v", err)
	}
	wantError(t, object.Call(qmpIf+".XQueryRdma", 0).Err, dbusError+"UnknownMethod")

	replaceQEMU(t, vm, debian, signals)
	if version := get[string](t, conn, "Version"); version != first {
		t.Errorf("Version = %q, want %s again", version, first)
	}
	wantTable(t, conn)
	wantError(t, object.Call(qmpIf+".QueryAudiodevs", 0).Err, dbusError+"UnknownMethod")
	if err := object.Call(qmpIf+".XQueryRdma", 0).Err; errorName(err) == dbusError+"UnknownMethod" {
		t.Errorf("a command that only the older has: %v", err)
	}
}

// TestOldestVersion has the oldest QEMU that is supported: everything that it has is there, also
// what later ones have removed or give otherwise.
func TestOldestVersion(t *testing.T) {
	vm := rig.StartQEMU(t, rig.QEMU{Program: rig.OtherQEMU(t, "5.2")})
	conn := rig.Self().MustDial(t, serveQEMU(t, vm).address)
	if version := get[string](t, conn, "Version"); !strings.HasPrefix(version, "5.2.") {
		t.Errorf("Version = %q, want 5.2", version)
	}
	wantTable(t, conn)
	object := conn.Object(busName, qmpPath)
	size := map[string]dbus.Variant{"size": dbus.MakeVariant(uint64(1 << 20))}
	if err := object.Call(qmpIf+".ObjectAdd", 0, "memory-backend-ram", "mem0", size).Err; err != nil {
		t.Errorf("a property that the schema does not list: %v", err)
	}
	var got dbus.Variant
	if err := object.Call(qmpIf+".QomGet", 0, "/objects/mem0", "size").Store(&got); err != nil || got.Value() != int64(1<<20) {
		t.Errorf("QomGet of the size = %v, %v", got, err)
	}
	var cpus []map[string]dbus.Variant
	if err := object.Call(qmpIf+".QueryCpus", 0).Store(&cpus); err != nil || len(cpus) != 1 || cpus[0]["current"].Value() != true {
		t.Errorf("QueryCpus() = %v, %v", cpus, err)
	}
	signals := watch(t, conn, dbus.WithMatchInterface(eventsIf))
	if err := object.Call(qmpIf+".Stop", 0).Err; err != nil {
		t.Error(err)
	}
	if s := next(t, signals); s.Name != eventsIf+".Stop" {
		t.Errorf("after Stop the signal %s", s.Name)
	}
}

// TestSameVersion has a QEMU of the same version come back: nobody hears of other commands.
func TestSameVersion(t *testing.T) {
	vm := rig.StartQEMU(t, rig.QEMU{})
	conn := rig.Self().MustDial(t, serveQEMU(t, vm).address)
	signals := watch(t, conn, dbus.WithMatchPathNamespace(vmPath))
	vm.Signal(t, syscall.SIGKILL)
	vm.Wait(t)
	rig.StartQEMU(t, rig.QEMU{Dir: vm.Dir, Awaited: true})
	if told := untilConnected(t, signals); len(told) != 0 {
		t.Errorf("signals %v, want none", told)
	}
	wantTable(t, conn)
}

// replaceQEMU kills a QEMU, starts another at the same path, and checks that the bus is told
// of its commands before it is shown as connected.
func replaceQEMU(t testing.TB, vm *rig.QEMU, program string, signals <-chan *dbus.Signal) *rig.QEMU {
	t.Helper()
	vm.Signal(t, syscall.SIGKILL)
	vm.Wait(t)
	vm = rig.StartQEMU(t, rig.QEMU{Program: program, Dir: vm.Dir, Awaited: true})
	told := untilConnected(t, signals)
	if len(told) != 2 || told[0].Name != objectManager+".InterfacesRemoved" || told[1].Name != objectManager+".InterfacesAdded" {
		t.Fatalf("signals %v, want InterfacesRemoved and InterfacesAdded", told)
	}
	for _, s := range told {
		if about := fmt.Sprint(s.Body); s.Body[0] != qmpPath || !strings.Contains(about, qmpIf) || !strings.Contains(about, eventsIf) {
			t.Errorf("%s tells %s, want %s and %s of %s", s.Name, about, qmpIf, eventsIf, qmpPath)
		}
	}
	return vm
}

// untilConnected waits until Connected is shown to be true, and returns what the object
// manager has told before of the commands and events.
func untilConnected(t testing.TB, signals <-chan *dbus.Signal) (told []*dbus.Signal) {
	t.Helper()
	patience := time.After(rig.Timeout)
	for {
		select {
		case s := <-signals:
			switch {
			case strings.HasPrefix(s.Name, objectManager):
				if s.Body[0] == qmpPath {
					told = append(told, s)
				}
			case s.Name != propsIf+".PropertiesChanged":
			case s.Body[1].(map[string]dbus.Variant)["Connected"].Value() == true:
				return told
			}
		case <-patience:
			t.Fatalf("not connected within %v", rig.Timeout)
		}
	}
}
