package inventory

import (
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

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
	kind: deviceDriver, read: readTree,
}

// kinship is equal for devices that are on one bus. Lines that somebody has forged come in addition, so that
//
//   - below one line for a bus, and above the next one with the same indent, there are no true lines for devices of two buses;
//   - a device that is on a bus has a second line if there is a forged one, and then has no kin;
//   - one that is on none, for which there may be a forged line alone, has the driver that QOM tells of it, whose devices never are on a
//     bus: so one that is asked for it and others of its driver tells the truth of all.
type kinship struct {
	bus    int // which line it is
	driver Value
}

// readTree finds the devices that have one line in the tree.
func readTree(devices []Item, reply []byte) (map[string]kinship, error) {
	var tree string
	if err := json.Unmarshal(reply, &tree, jsontext.AllowInvalidUTF8(true)); err != nil {
		return nil, err
	}
	drivers := make(map[string]Value, len(devices))
	for _, d := range devices {
		drivers[d.ID] = d.Values[deviceDriver]
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
