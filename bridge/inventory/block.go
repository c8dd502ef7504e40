package inventory

import (
	"cmp"
	"encoding/json"
	"strings"
)

// drive is the part of QEMU's BlockInfo that is shown.
type drive struct {
	Device    string  `json:"device"`
	QDev      string  `json:"qdev"` // the id of the device, or its QOM path
	Removable bool    `json:"removable"`
	TrayOpen  bool    `json:"tray_open"`
	IOStatus  string  `json:"io-status"`
	Medium    *medium `json:"inserted"`
}

type medium struct {
	Node      string `json:"node-name"`
	File      string `json:"file"`
	Driver    string `json:"drv"`
	ReadOnly  bool   `json:"ro"`
	Encrypted bool   `json:"encrypted"`
	Image     struct {
		Size   uint64 `json:"virtual-size"`
		Actual uint64 `json:"actual-size"`
	} `json:"image"`
}

// peripheral is where devices with an id are in QOM.
const peripheral = "/machine/peripheral/"

// devicePath is the QOM path of a device that QEMU tells by its id, or by that path if it has none.
func devicePath(qdev string) string {
	if qdev == "" || qdev[0] == '/' {
		return qdev
	}
	return peripheral + qdev
}

// DeviceID is the id of the device at a QOM path, or the path if it has none: either is taken where QEMU wants an id.
func DeviceID(path string) string {
	if id, found := strings.CutPrefix(path, peripheral); found && !strings.Contains(id, "/") {
		return id
	}
	return path
}

func readDrive(told drive) Item {
	qomPath := devicePath(told.QDev)
	id := qomPath // of a device without an id
	if below, found := strings.CutPrefix(qomPath, peripheral); found {
		id, _, _ = strings.Cut(below, "/") // its parts have paths below
	}
	if len(qomPath) > MaxPath {
		return Item{Element: tooLong}
	}
	in := cmp.Or(told.Medium, new(medium))
	return newItem(cmp.Or(told.Device, id),
		Text(told.Device), path(qomPath), Text(in.Node), Text(in.Driver), Flag(in.ReadOnly), Flag(told.Removable),
		Flag(told.TrayOpen), Flag(told.Medium != nil), Number(in.Image.Size), Flag(in.Encrypted), Text(told.IOStatus),
		File(in.File), Number(in.Image.Actual))
}

// below are the members of QEMU's BlockStats that tell of other nodes, those below the drive's.
var below = []string{"parent", "backing"}

// DriveStats finds in a reply to query-blockstats what it tells of the drive with these values of Device and QomPath, without
// what it tells of nodes below: a JSON object, or nil if there is no such drive.
func DriveStats(reply []byte, device, qomPath string) ([]byte, error) {
	var all []json.RawMessage
	if err := json.Unmarshal(reply, &all); err != nil {
		return nil, err
	}
	for _, one := range all {
		var told struct {
			Device string `json:"device"`
			QDev   string `json:"qdev"`
		}
		if err := json.Unmarshal(one, &told); err != nil {
			return nil, err
		}
		if Text(told.Device).String() == device && path(devicePath(told.QDev)).String() == qomPath {
			return withoutBelow(one)
		}
	}
	return nil, nil
}

func withoutBelow(stats []byte) ([]byte, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(stats, &members); err != nil {
		return nil, err
	}
	for _, name := range below {
		delete(members, name)
	}
	return json.Marshal(members)
}
