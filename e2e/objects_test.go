package e2e_test

import (
	"maps"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"

	"qmp-dbus-bridge/e2e/rig"
)

// furniture are QEMU's arguments for some objects of each kind.
var furniture = []string{
	"-S", "-smp", "2,maxcpus=4", "-m", "64,slots=4,maxmem=1G",
	"-blockdev", "null-co,node-name=n0,size=1048576", "-device", "pcie-root-port,id=rp1,chassis=1",
	"-device", "virtio-scsi-pci,id=scsi0", "-device", "scsi-hd,drive=n0,id=disk-1", "-device", "scsi-cd,id=cd0",
	"-chardev", "null,id=c.1", "-object", "memory-backend-ram,id=m1,size=16M", "-device", "pc-dimm,id=dimm1,memdev=m1",
}

// furnished are the objects below /org/qemu/VM1 that furniture makes. One chardev is the rig's monitor.
var furnished = []string{
	"block/cd0", "block/disk_2d1", "chardev/c_2e1", "chardev/compat_5fmonitor0", "cpu/0", "cpu/1",
	"device/cd0", "device/dimm1", "device/disk_2d1", "device/rp1", "device/scsi0", "memory/dimm1", "migration",
}

// objects are those below /org/qemu/VM1, with the properties of the interface that is theirs alone.
func objects(t testing.TB, conn *dbus.Conn) map[string]map[string]dbus.Variant {
	t.Helper()
	var managed map[dbus.ObjectPath]map[string]map[string]dbus.Variant
	if err := conn.Object(busName, vmPath).Call(objectManager+".GetManagedObjects", 0).Store(&managed); err != nil {
		t.Fatal(err)
	}
	all := map[string]map[string]dbus.Variant{}
	for path, interfaces := range managed {
		if path == qmpPath {
			continue
		}
		for name, properties := range interfaces {
			if strings.HasPrefix(name, busName) {
				all[strings.TrimPrefix(string(path), string(vmPath)+"/")] = properties
			}
		}
	}
	return all
}

// appears waits for a signal of the object manager, "InterfacesAdded" or "InterfacesRemoved", for a path.
func appears(t testing.TB, signals <-chan *dbus.Signal, member, path string) {
	t.Helper()
	patience := time.After(rig.Timeout)
	for {
		select {
		case s := <-signals:
			if s.Name == objectManager+"."+member && s.Body[0] == vmPath+"/"+dbus.ObjectPath(path) {
				return
			}
		case <-patience:
			t.Fatalf("no %s of %s within %v", member, path, rig.Timeout)
		}
	}
}

// TestObjects has drives, chardevs, CPUs and memory of a real QEMU come and go, and QEMU itself.
func TestObjects(t *testing.T) {
	onBothBuses(t, func(t *testing.T, flags []string) { testObjects(t, rig.QEMUProgram(), flags) })
}

// TestObjectsOfNewerQEMU is TestObjects on another version.
func TestObjectsOfNewerQEMU(t *testing.T) { testObjects(t, rig.OtherQEMU(t, "10"), nil) }

func testObjects(t *testing.T, qemu string, flags []string) {
	vm := rig.StartQEMU(t, rig.QEMU{Program: qemu, Args: furniture})
	b := serveQEMU(t, vm, flags...)
	c := dial(t, b)
	signals := watch(t, rig.Self().MustDial(t, b.address), dbus.WithMatchPathNamespace(vmPath))
	if diff := cmp.Diff(furnished, slices.Sorted(maps.Keys(objects(t, c.conn)))); diff != "" {
		t.Errorf("objects (-want +got):\n%s", diff)
	}
	for path, bus := range map[string]string{"rp1": "pcie.0", "scsi0": "pcie.0", "disk_2d1": "scsi0.0", "dimm1": ""} {
		if got := objects(t, c.conn)["device/"+path]["Bus"].Value(); got != bus {
			t.Errorf("Bus of %s = %v, want %s", path, got, bus)
		}
	}
	if size, cpus := get[uint64](t, c.conn, "MemorySize"), get[uint32](t, c.conn, "VCPUs"); size != 80<<20 || cpus != 2 {
		t.Errorf("MemorySize = %d, VCPUs = %d", size, cpus)
	}
	if machine, accelerator := get[string](t, c.conn, "Machine"), get[string](t, c.conn, "Accelerator"); !strings.HasPrefix(machine, "pc-q35-") || accelerator != "tcg" {
		t.Errorf("Machine = %q, Accelerator = %q", machine, accelerator)
	}

	c.call(t, "ChardevAdd", "c-2", options("type", "null", "data", map[string]dbus.Variant{}))
	appears(t, signals, "InterfacesAdded", "chardev/c_2d2")
	c.call(t, "ChardevRemove", "c-2")
	appears(t, signals, "InterfacesRemoved", "chardev/c_2d2")
	c.call(t, "BlockdevAdd", "null-co", options("node-name", "n1", "size", 4096))
	c.call(t, "DeviceAdd", "virtio-blk-pci", options("id", "plugged", "drive", "n1", "bus", "rp1"))
	appears(t, signals, "InterfacesAdded", "device/plugged")
	appears(t, signals, "InterfacesAdded", "block/plugged")
	if drive := objects(t, c.conn)["block/plugged"]; drive["VirtualSize"].Value() != uint64(4096) || drive["NodeName"].Value() != "n1" {
		t.Errorf("the drive that was plugged in: %v", drive)
	}
	c.call(t, "BlockdevChangeMedium", rawImage(t, "a medium"), options("id", "cd0", "format", "raw"))
	rig.Eventually(t, "the drive shows its medium", func() bool {
		cd := objects(t, c.conn)["block/cd0"]
		return cd["Inserted"].Value() == true && cd["VirtualSize"].Value() == uint64(1<<20) && cd["Format"].Value() == "raw"
	})
	c.call(t, "BlockdevCreate", "job-1", options("driver", "file", "filename", rawImage(t, ""), "size", 4096))
	rig.Eventually(t, "the job has ended and is still there", func() bool {
		return objects(t, c.conn)["job/job_2d1"]["Status"].Value() == "concluded"
	})
	c.call(t, "JobDismiss", "job-1")
	appears(t, signals, "InterfacesRemoved", "job/job_2d1")
	testProgress(t, c, signals)

	rig.Require(t, "busctl")
	tree, err := exec.Command("busctl", "--address="+b.address, "--list", "tree", busName).CombinedOutput()
	if err != nil {
		t.Fatalf("busctl: %v\n%s", err, tree)
	}
	for _, path := range append(furnished, "block", "chardev", "cpu", "device", "memory", "block/plugged") {
		if !strings.Contains(string(tree), string(vmPath)+"/"+path+"\n") {
			t.Errorf("busctl tree does not show %s:\n%s", path, tree)
		}
	}

	vm.Signal(t, syscall.SIGKILL)
	vm.Wait(t)
	appears(t, signals, "InterfacesRemoved", "chardev/compat_5fmonitor0")
	rig.Eventually(t, "the objects have gone with QEMU", func() bool { return len(objects(t, c.conn)) == 0 })
	rig.StartQEMU(t, rig.QEMU{Program: qemu, Dir: vm.Dir, Awaited: true, Args: furniture})
	untilConnected(t, signals)
	if diff := cmp.Diff(furnished, slices.Sorted(maps.Keys(objects(t, c.conn)))); diff != "" {
		t.Errorf("objects when QEMU is back (-want +got):\n%s", diff)
	}
}

// testProgress has a job that takes half a minute: it gets on, and is cancelled.
func testProgress(t *testing.T, c *client, signals <-chan *dbus.Signal) {
	const size = 256 << 20
	for _, node := range []string{"source", "target"} {
		c.call(t, "BlockdevAdd", "null-co", options("node-name", node, "size", size))
	}
	slow := map[string]any{"job-id": "slow", "device": "source", "target": "target", "sync": "full", "speed": 8 << 20}
	if _, err := qmp(c.conn, "blockdev-backup", slow); err != nil {
		t.Fatal(err)
	}
	appears(t, signals, "InterfacesAdded", "job/slow")
	before := objects(t, c.conn)["job/slow"]
	if before["Type"].Value() != "backup" || before["Total"].Value() != uint64(size) {
		t.Errorf("the job: %v", before)
	}
	rig.Eventually(t, "the job gets on", func() bool {
		now := objects(t, c.conn)["job/slow"]
		return now["Status"].Value() == "running" && now["Progress"].Value().(float64) > before["Progress"].Value().(float64)
	})
	c.call(t, "JobCancel", "slow")
	c.completes(t, signals, "slow", "Operation canceled")
	c.object(t, "job/slow", "Job.Dismiss")
	appears(t, signals, "InterfacesRemoved", "job/slow")
}
