package helper

import (
	"qmp-dbus-bridge/bridge/inventory"
)

// The names and the path by which helpers are known (QEMU's docs/interop/dbus.rst and backends/dbus-vmstate.c).
const (
	VMStateName = "org.qemu.VMState1"  // those whose state migrates queue for it
	VMStatePath = "/org/qemu/VMState1" // where they have their object
	NamePrefix  = "org.qemu.Helper1"   // helpers' names are this, or below
)

// The limits.
const (
	MaxHelpers = 64   // that are shown; a VM has some: virtiofsd, swtpm, slirp, vhost-user devices
	MaxOfUser  = 16   // of them of one uid, so that no user keeps out others
	MaxOpen    = 16   // questions to connections of one uid that wait for an answer, also of those that queue no more
	MaxSeen    = 1024 // connections that are looked at; the private bus has 640
	MaxID      = 255  // bytes of an Id (backends/dbus-vmstate.c)
)

// Helper is a helper on the bus.
type Helper struct {
	Unique  string // its unique name
	BusName string // the first of its names of org.qemu.Helper1, else its unique name
	UID     uint32
	ID      string // what its state is called when it migrates; empty if it has told none
	Element string // the last one of its object's path
}

// place gives each helper of a list an element of its own: that of its Id, or of its name if it has told none. Where another before
// it has that, its unique name follows, behind an underscore more than Element ever makes.
func place(list []Helper) {
	taken := map[string]bool{}
	for i := range list {
		h := &list[i]
		h.Element = inventory.Element(h.called())
		if taken[h.Element] {
			h.Element += "_" + inventory.Element(h.Unique)
		}
		taken[h.Element] = true
	}
}

func (h *Helper) called() string {
	if h.ID != "" {
		return h.ID
	}
	return h.BusName
}
