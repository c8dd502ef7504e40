package bridge_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"qmp-dbus-bridge/e2e/rig"
	"qmp-dbus-bridge/qmp/qmptest"
)

// parentBus is the command for the bus of dev<n>.
func parentBus(n int) string {
	return fmt.Sprintf(`qom-get {"path":"/machine/peripheral/dev%d","property":"parent_bus"}`, n)
}

// TestBusIsAskedOnce has a device plugged in beside others: QEMU is asked for its bus alone, and InterfacesAdded has it.
func TestBusIsAskedOnce(t *testing.T) {
	m := withDevices(t, 2)
	for n, bus := range []string{"/machine/q35/pcie.0", "", "/machine/peripheral/rp1/rp1"} {
		m.answer(parentBus(n), `"`+bus+`"`)
	}
	w := serve(t, m)
	c, signals := w.as(admin), w.as(viewer).everything()
	if all := c.objects(); all["device/dev0"]["Bus"] != "pcie.0" || all["device/dev1"]["Bus"] != "" {
		t.Errorf("objects %v", all)
	}
	asked := m.counts()["qom-get"]
	m.devices(0, 3)
	if _, err := c.call(qmpPath, callJSON, "device_add", `{"driver":"virtio-blk-pci","id":"dev2"}`); err != nil {
		t.Fatal(err)
	}
	told(t, signals, "+ device/dev2 map[Bus:rp1 Driver:virtio-blk-pci QomPath:/machine/peripheral/dev2]")
	if n := m.counts()["qom-get"] - asked; n != 1 {
		t.Errorf("%d qom-get for one device", n)
	}
}

// TestBusOfAnotherDevice has a device go and another of its id come, before QEMU was asked what it has.
func TestBusOfAnotherDevice(t *testing.T) {
	m := withDevices(t, 1)
	m.answer(parentBus(0), `"/x/first"`)
	w := serve(t, m)
	signals := w.as(viewer).everything()
	w.as(admin).objects()
	m.answer(parentBus(0), `"/x/second"`)
	m.client().Event("DEVICE_DELETED", `{"device": "dev0", "path": "/machine/peripheral/dev0"}`)
	told(t, signals, "! device/dev0 map[Bus:second]")
}

// TestBusOfHostile has a QEMU that refuses to tell buses, or tells what is none: the devices are there, and the log says it
// once.
func TestBusOfHostile(t *testing.T) {
	for _, test := range []struct {
		name  string
		tell  func(*qmptest.Request)
		lines int
	}{
		{"refused", func(r *qmptest.Request) { r.Fail("DeviceNotFound", "gone") }, 0},
		{"no text", func(r *qmptest.Request) { r.Return(`{"secret": 1}`) }, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := withDevices(t, 3)
			m.script("qom-get", func(_ *qmptest.QEMU, r *qmptest.Request) {
				if isOwn(r) && strings.Contains(r.Line, "parent_bus") {
					test.tell(r)
					return
				}
				r.Return(`"x-machine"`)
			})
			w, log := serveLogged(t, m)
			c := w.as(admin)
			for range 3 {
				m.client().Event("DEVICE_DELETED", `{"device": "dev1"}`)
				w.sync()
			}
			all := c.objects()
			for n := range 3 {
				if device := all[fmt.Sprint("device/dev", n)]; device == nil || device["Bus"] != "" {
					t.Errorf("dev%d: %v", n, device)
				}
			}
			if lines := log.lines("can't be read"); len(lines) != test.lines || strings.Contains(log.String(), "secret") {
				t.Errorf("the log: %s", log.String())
			}
		})
	}
}

// TestBusOfDying has QEMU go in the middle of telling buses, at the start and later: the next one is read as a whole.
func TestBusOfDying(t *testing.T) {
	m := withDevices(t, 3)
	for n := range 4 {
		m.answer(parentBus(n), `"/x/old"`)
	}
	w := serve(t, m)
	c := w.as(admin)
	c.objects()
	m.devices(0, 4)
	m.hold("qom-get", true)
	m.client().Event("DEVICE_DELETED", `{"device": "dev1"}`)
	m.nextHeld()
	m.hold("qom-get", false)
	m.die()
	rig.Eventually(t, "QEMU has gone", func() bool { return !get[bool](c, "Connected") })
	for n := range 4 {
		m.answer(parentBus(n), `"/x/new"`)
	}
	m.listen(qmptest.Options{})
	rig.Eventually(t, "QEMU is back", func() bool { return get[bool](c, "Connected") })
	var buses []string
	for path, o := range c.objects() {
		buses = append(buses, fmt.Sprint(path, " ", o["Bus"]))
	}
	slices.Sort(buses)
	if diff := cmp.Diff([]string{"device/dev0 new", "device/dev1 new", "device/dev2 new", "device/dev3 new"}, buses); diff != "" {
		t.Errorf("buses (-want +got):\n%s", diff)
	}
}

// TestBusesOfMany has a QEMU with many devices come: one of each kind is asked for the bus of all.
func TestBusesOfMany(t *testing.T) {
	m := newMachine(t, crowd())
	all := serve(t, m).as(admin).objects()
	for _, device := range []string{"disk0", "disk63", "nic0", "nic7"} {
		if bus := all["device/"+device]["Bus"]; bus != "pcie.0" {
			t.Errorf("%s is on %v", device, bus)
		}
	}
	// The machine's type, the bus of a disk, that of a NIC, and the backend of each NIC.
	if n := m.counts()["qom-get"]; n != 1+1+1+8 {
		t.Errorf("%d qom-get", n)
	}
}

// TestBusesOfManyChange has a device go, and another of its id come on another bus, while QEMU tells which are on one: each is asked.
func TestBusesOfManyChange(t *testing.T) {
	answers := crowd()
	m := newMachine(t, answers)
	m.script("human-monitor-command", func(q *qmptest.QEMU, r *qmptest.Request) {
		of := r.Name
		if line(r.Name, r.Arguments) == askTree {
			of = askTree
			m.answer(`qom-get {"path":"/machine/peripheral/disk7","property":"parent_bus"}`, `"/machine/peripheral/rp1/rp1"`)
			q.Event("DEVICE_DELETED", `{"device": "disk7", "path": "/machine/peripheral/disk7"}`)
		}
		r.Return(answers[of])
	})
	all := serve(t, m).as(admin).objects()
	for device, want := range map[string]string{"disk0": "pcie.0", "disk7": "rp1", "disk63": "pcie.0", "nic7": "pcie.0"} {
		if bus := all["device/"+device]["Bus"]; bus != want {
			t.Errorf("%s is on %v, want %s", device, bus, want)
		}
	}
}
