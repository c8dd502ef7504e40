package e2e_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"qmp-dbus-bridge/e2e/rig"
)

// TestBusesOfMany has a real QEMU with as many disks that it is not asked for the bus of each, on two SCSI buses. The serial number of one
// looks like the line of another bus in what QEMU writes for people, and that of an NVMe controller like lines for namespaces that are on
// the buses of two subsystems, of which QEMU does not write there.
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
	var forged strings.Builder
	forged.WriteString("x\n    bus: forged\n")
	for i := range 4 {
		id, of := fmt.Sprintf("ns%d", i), i%2
		if i == of {
			args = append(args, "-device", fmt.Sprintf("nvme-subsys,id=sub%d", of), "-device", fmt.Sprintf("nvme,id=c%d,serial=c,subsys=sub%d", of, of))
		}
		args = append(args, "-blockdev", fmt.Sprintf("null-co,node-name=%s,size=1048576", id), "-device", fmt.Sprintf("nvme-ns,id=%s,bus=c%d,drive=%s", id, of, id))
		fmt.Fprintf(&forged, "      dev: nvme-ns, id \"%s\"\n", id)
		want[id] = fmt.Sprintf("sub%d", of)
	}
	forger, err := json.Marshal(map[string]string{"driver": "nvme", "id": "forger", "serial": forged.String()})
	if err != nil {
		t.Fatal(err)
	}
	args = append(args, "-device", string(forger))
	b := serveQEMU(t, rig.StartQEMU(t, rig.QEMU{Program: qemu, Args: args}))
	all := objects(t, dial(t, b).conn)
	for id, bus := range want {
		if got := all["device/"+id]["Bus"].Value(); got != bus {
			t.Errorf("%s is on %v, want %s", id, got, bus)
		}
	}
}
