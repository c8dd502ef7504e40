package bridge_test

import (
	"fmt"
	"maps"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"qmp-dbus-bridge/e2e/rig"
)

// crowd are the answers of a QEMU with 64 drives, as many CPUs and devices for them, and 8 NICs.
func crowd() map[string]string {
	var drives, devices, cpus []string
	answers := map[string]string{}
	on := func(device, property, value string) {
		answers[fmt.Sprintf(`qom-get {"path":"/machine/peripheral/%s","property":"%s"}`, device, property)] = fmt.Sprintf("%q", value)
	}
	var nics, tree strings.Builder
	tree.WriteString(`bus: main-system-bus\r\n  dev: q35-pcihost, id \"\"\r\n    bus: pcie.0\r\n      type PCIE\r\n`)
	for i := range 64 {
		drives = append(drives, fmt.Sprintf(`{"device": "", "qdev": "/machine/peripheral/disk%d/virtio-backend", "removable": false,`+
			` "io-status": "ok", "inserted": {"node-name": "node%[1]d", "drv": "qcow2", "ro": false, "encrypted": false,`+
			` "image": {"virtual-size": 1073741824, "filename": "/srv/disk%[1]d", "format": "qcow2"}}}`, i))
		devices = append(devices, fmt.Sprintf(`{"name": "disk%d", "type": "child<virtio-blk-pci>"}`, i))
		cpus = append(cpus, fmt.Sprintf(`{"cpu-index": %d, "thread-id": %d, "qom-path": "/machine/unattached/device[%[1]d]",`+
			` "props": {"socket-id": 0, "core-id": %[1]d, "thread-id": 0}}`, i, 1000+i))
		on(fmt.Sprint("disk", i), "parent_bus", "/machine/q35/pcie.0")
		fmt.Fprintf(&tree, `      dev: virtio-blk-pci, id \"disk%d\"\r\n        serial = \"\"\r\n`, i)
	}
	for i := range 8 {
		devices = append(devices, fmt.Sprintf(`{"name": "nic%d", "type": "child<virtio-net-pci>"}`, i))
		fmt.Fprintf(&nics, `nic%d: index=0,type=nic,model=virtio-net-pci,macaddr=52:54:00:12:34:%02x\r\n`, i, i)
		on(fmt.Sprint("nic", i), "parent_bus", "/machine/q35/pcie.0")
		fmt.Fprintf(&tree, `      dev: virtio-net-pci, id \"nic%d\"\r\n        mac = \"\"\r\n`, i)
		on(fmt.Sprint("nic", i), "netdev", fmt.Sprint("n", i))
	}
	list := func(items []string) string { return "[" + strings.Join(items, ", ") + "]" }
	maps.Copy(answers, map[string]string{
		"query-block": list(drives), "query-cpus-fast": list(cpus),
		`qom-list {"path":"/machine/peripheral"}`: list(devices), "human-monitor-command": `"` + nics.String() + `"`,
		askTree: `"` + tree.String() + `"`,
	})
	return answers
}

// TestCrowdIsRead has all of a large VM read at once, without a command to QEMU.
func TestCrowdIsRead(t *testing.T) {
	m := newMachine(t, crowd())
	c := serve(t, m).as(admin)
	get[string](c, "Name")
	before := m.counts()
	if n := len(c.objects()); n != 64+64+64+8+8 {
		t.Errorf("%d objects", n)
	}
	if diff := cmp.Diff(before, m.counts()); diff != "" {
		t.Errorf("commands for that (-before +after):\n%s", diff)
	}
}

// BenchmarkGetManagedObjects reads all of a large VM through a real dbus-daemon.
func BenchmarkGetManagedObjects(b *testing.B) {
	m := newMachine(b, crowd())
	roundTrips(b, m.dial, rig.CallMessage(busName, vmPath, managerIf, "GetManagedObjects"))
}

// BenchmarkConnect reaches a VM and reads all of it. B/kept is what a bridge then keeps: the difference of the two
// is what the objects take.
func BenchmarkConnect(b *testing.B) {
	for name, answers := range map[string]map[string]string{"empty": nil, "crowd": crowd()} {
		b.Run(name, func(b *testing.B) {
			w := newWorld(b, newMachine(b, answers).dial)
			for b.Loop() {
				if err := w.connect(); err != nil {
					b.Fatal(err)
				}
				if err := w.bridge.Close(); err != nil {
					b.Fatal(err)
				}
			}
			before := heap()
			if err := w.connect(); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(heap()-before), "B/kept")
		})
	}
}

// heap is what is reachable, in bytes.
func heap() int64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}
