package inventory

import (
	"cmp"
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

func readDrive(told drive) Item {
	qomPath := told.QDev
	if qomPath != "" && !strings.HasPrefix(qomPath, "/") {
		qomPath = peripheral + qomPath
	}
	id := qomPath // of a device without an id
	if path, found := strings.CutPrefix(qomPath, peripheral); found {
		id, _, _ = strings.Cut(path, "/") // its parts have paths below
	}
	in := cmp.Or(told.Medium, new(medium))
	return newItem(cmp.Or(told.Device, id),
		Text(told.Device), Text(qomPath), Text(in.Node), Text(in.Driver), Flag(in.ReadOnly), Flag(told.Removable),
		Flag(told.TrayOpen), Flag(told.Medium != nil), Number(in.Image.Size), Flag(in.Encrypted), Text(told.IOStatus),
		File(in.File), Number(in.Image.Actual))
}
