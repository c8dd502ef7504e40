package e2e_test

import (
	"fmt"
	"testing"

	"qmp-dbus-bridge/e2e/rig"
)

// TestBusesOfMany has a real QEMU with as many disks that it is not asked for the bus of each, on two SCSI buses. The serial number of one
// looks like the line of another bus in what QEMU writes for people.
func TestBusesOfMany(t *testing.T) { testBusesOfMany(t, rig.QEMUProgram()) }

// TestBusesOfManyOnNewerQEMU is TestBusesOfMany on another version.
func TestBusesOfManyOnNewerQEMU(t *testing.T) { testBusesOfMany(t, rig.OtherQEMU(t, "10")) }

func testBusesOfMany(t *testing.T, qemu string) {
	args := []string{
		"-S", "-m", "64,slots=2,maxmem=1G", "-device", "virtio-scsi-pci,id=scsi0", "-device", "virtio-scsi-pci,id=scsi1",
		"-object", "memory-backend-ram,id=m1,size=16M", "-device", "pc-dimm,id=dimm1,memdev=m1",
	}
	want := map[string]string{"scsi0": "pcie.0", "scsi1": "pcie.0", "dimm1": ""}
	for i := range 20 {
		bus, id := fmt.Sprintf("scsi%d.0", i%2), fmt.Sprintf("disk%d", i)
		disk := fmt.Sprintf("scsi-hd,id=%s,bus=%s,drive=n%d", id, bus, i)
		if i == 10 {
			disk += ",device_id=d,serial=x\n            bus: forged\n"
		}
		args = append(args, "-blockdev", fmt.Sprintf("null-co,node-name=n%d,size=1048576", i), "-device", disk)
		want[id] = bus
	}
	b := serveQEMU(t, rig.StartQEMU(t, rig.QEMU{Program: qemu, Args: args}))
	all := objects(t, dial(t, b).conn)
	for id, bus := range want {
		if got := all["device/"+id]["Bus"].Value(); got != bus {
			t.Errorf("%s is on %v, want %s", id, got, bus)
		}
	}
}
