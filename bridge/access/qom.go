package access

import (
	"strings"

	"github.com/cedar-policy/cedar-go"
)

// qomMember is an argument by which a command takes an object of QEMU's object tree (QOM).
type qomMember struct {
	name   string
	device bool // the id of a device will do as well
}

// qomMembers are those of all commands, as QEMU's documentation of them has it (qapi/*.json, 10.1). QEMU finds an object by
// many names: a path may leave out all in front ("net0"), and have slashes to spare ("/machine//peripheral/net0/"). Where
// a policy looks at the arguments, only one of them will do: the absolute path, or the bare id of a device.
//
// There is more than that one still: links in the tree are aliases of what they link to, and
// only QEMU knows them. A policy that permits exact paths is safe from them; one that forbids some is not.
var qomMembers = map[string]qomMember{
	"qom-get":      {name: "path"},
	"qom-list":     {name: "path"},
	"qom-list-get": {name: "paths"},
	"qom-set":      {name: "path"},

	"block-latency-histogram-set": {name: "id", device: true},
	"block_set_io_throttle":       {name: "id", device: true},
	"blockdev-change-medium":      {name: "id", device: true},
	"blockdev-close-tray":         {name: "id", device: true},
	"blockdev-insert-medium":      {name: "id", device: true},
	"blockdev-open-tray":          {name: "id", device: true},
	"blockdev-remove-medium":      {name: "id", device: true},
	"device-sync-config":          {name: "id", device: true},
	"device_del":                  {name: "id", device: true},
	"eject":                       {name: "id", device: true},

	"cxl-add-dynamic-capacity":          {name: "path"},
	"cxl-inject-correctable-error":      {name: "path"},
	"cxl-inject-dram-event":             {name: "path"},
	"cxl-inject-general-media-event":    {name: "path"},
	"cxl-inject-memory-module-event":    {name: "path"},
	"cxl-inject-poison":                 {name: "path"},
	"cxl-inject-uncorrectable-errors":   {name: "path"},
	"cxl-release-dynamic-capacity":      {name: "path"},
	"query-stats":                       {name: "vcpus"},
	"x-query-virtio-queue-element":      {name: "path"},
	"x-query-virtio-queue-status":       {name: "path"},
	"x-query-virtio-status":             {name: "path"},
	"x-query-virtio-vhost-queue-status": {name: "path"},
}

// named tells whether the objects in the arguments are named in the one way that policies can go by.
func (m qomMember) named(given *arguments) bool {
	if m.name == "" { // the command takes none
		return true
	}
	switch value := given.at(argumentPath{m.name}).(type) {
	case cedar.String:
		return m.takes(value)
	case cedar.Set:
		for element := range value.All() {
			if path, ok := element.(cedar.String); ok && !m.takes(path) {
				return false
			}
		}
	}
	return true // there is none, or QEMU will refuse its type
}

func (m qomMember) takes(path cedar.String) bool {
	if m.device && !strings.Contains(string(path), "/") {
		return true
	}
	below, absolute := strings.CutPrefix(string(path), "/")
	return absolute && (below == "" || !strings.HasPrefix(below, "/") && !strings.HasSuffix(below, "/") && !strings.Contains(below, "//"))
}
