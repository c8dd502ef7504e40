package inventory

import (
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// MaxTree bounds the tree as QEMU writes it, in bytes: it is read while callers wait. Some 1700 are for a device (7.2, 10.0), of which
// MaxItems are looked at.
const MaxTree = 4 << 20

// busSurvey tells which devices are on one bus. Its text is that of QEMU's monitor for people (qdev_print and qbus_print in its
// qdev-monitor.c), the same from 5.2 to 10.0:
//
//	bus: main-system-bus
//	  type System
//	  dev: q35-pcihost, id ""
//	    bus: pcie.0
//	      type PCIE
//	      dev: virtio-scsi-pci, id "scsi0"
//	        serial = "what somebody has called it"
//	        bus: virtio-bus
//
// Of it nothing is shown, since who may give a device a text with line ends in it, as a serial number, can forge lines.
var busSurvey = &survey{
	command: "human-monitor-command", arguments: []byte(`{"command-line":"info qtree"}`),
	kind: deviceDriver, tells: inTree, read: readTree,
}

// inTree are the drivers whose devices the tree always has, since all their buses are below host bridges and controllers that it has. Others it
// may lack, so each is asked: those on no bus, and those on the bus of a device that is on none, as the namespaces of an nvme-subsys are.
var inTree = map[Value]bool{
	Text("scsi-block"): true, Text("scsi-cd"): true, Text("scsi-generic"): true, Text("scsi-hd"): true,
	Text("virtio-blk-pci"): true, Text("virtio-net-pci"): true, Text("virtio-scsi-pci"): true,
	Text("e1000"): true, Text("e1000e"): true, Text("nvme"): true, Text("vfio-pci"): true,
	Text("pcie-root-port"): true, Text("virtserialport"): true, Text("virtconsole"): true,
}

// kinship is equal for devices that are on one bus. Lines that somebody has forged come in addition, so that
//
//   - below one line for a bus, and above the next one with the same indent, there are no true lines for devices of two buses;
//   - a device that the tree has has a second line if there is a forged one, and then has no kin. One whose id has a line end in it
//     has no line that can be read, and none can be forged.
type kinship struct {
	bus    int // which line it is
	driver Value
}

// readTree finds the devices that have one line in the tree, of those that it always has.
func readTree(devices []Item, reply []byte) (map[string]kinship, error) {
	if len(reply) > MaxTree {
		return nil, fmt.Errorf("the tree of devices has %d bytes, and %d are the most", len(reply), MaxTree)
	}
	var tree string
	if err := json.Unmarshal(reply, &tree, jsontext.AllowInvalidUTF8(true)); err != nil {
		return nil, err
	}
	drivers := make(map[string]Value, len(devices))
	for _, d := range devices {
		if driver := d.Values[deviceDriver]; inTree[driver] {
			drivers[d.ID] = driver
		}
	}
	kin, lines := map[string]kinship{}, map[string]int{}
	buses := map[int]int{} // the last line for one, by its indent
	number := 0
	for line := range strings.Lines(tree) {
		number++
		text := strings.TrimLeft(line, " ")
		indent := len(line) - len(text)
		if strings.HasPrefix(text, "bus: ") {
			buses[indent] = number
			continue
		}
		driver, id, isDevice := readTreeDevice(text)
		if !isDevice {
			continue
		}
		told, wanted := drivers[id]
		bus, below := buses[indent-2]
		if !wanted || !below {
			continue
		}
		lines[id]++
		if lines[id] == 1 && told == Text(driver) {
			kin[id] = kinship{bus, told}
		} else {
			delete(kin, id)
		}
	}
	return kin, nil
}

// readTreeDevice reads the line for a device.
func readTreeDevice(text string) (driver, id string, isDevice bool) {
	text, isDevice = strings.CutPrefix(strings.TrimRight(text, "\r\n"), "dev: ")
	driver, id, hasID := strings.Cut(text, `, id "`)
	id, ends := strings.CutSuffix(id, `"`)
	return driver, id, isDevice && hasID && ends
}
