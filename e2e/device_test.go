package e2e_test

import (
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"

	"qmp-dbus-bridge/e2e/rig"
)

// TestDevices plugs devices into a Linux guest and unplugs them: the objects show what the guest has, also when the bridge is cut
// off QEMU in between.
func TestDevices(t *testing.T) { testDevices(t, rig.QEMUProgram()) }

// TestDevicesOfNewerQEMU is TestDevices on another version.
func TestDevicesOfNewerQEMU(t *testing.T) { testDevices(t, rig.OtherQEMU(t, "10")) }

func testDevices(t *testing.T, qemu string) {
	g := serveGuest(t, rig.StartGuest(t, rig.QEMU{Program: qemu}))
	g.line.bothWays(t, "unplug", func(t *testing.T, midway interlude) { testUnplug(t, g, midway) })
	g.line.bothWays(t, "unplug while paused", func(t *testing.T, midway interlude) { testUnplugPaused(t, g, midway) })
	g.line.bothWays(t, "network", func(t *testing.T, midway interlude) { testNet(t, g, midway) })
}

// shown are the properties of an object below the VM's, nil if it is not there.
func (g guest) shown(t testing.TB, path string) map[string]dbus.Variant {
	t.Helper()
	return objects(t, g.conn)[path]
}

// method calls a method of an object below the VM's.
func (g guest) method(path, method string, args ...any) error {
	return g.conn.Object(busName, vmPath+"/"+dbus.ObjectPath(path)).Call(busName+"."+method, 0, args...).Err
}

// plugDisk plugs a disk in and waits until the guest has it.
func (g guest) plugDisk(t testing.TB, id, port string) {
	t.Helper()
	g.call(t, "BlockdevAdd", "null-co", options("node-name", "node-"+id, "size", 1<<20))
	g.call(t, "DeviceAdd", "virtio-blk-pci", options("id", id, "drive", "node-"+id, "bus", port))
	g.Await(t, "test -b /dev/vda")
	rig.Eventually(t, "the disk is an object", func() bool { return g.shown(t, "device/"+id) != nil })
}

// testUnplug unplugs a disk: when that returns, the guest has let go of it and the object is gone.
func testUnplug(t *testing.T, g guest, midway interlude) {
	g.plugDisk(t, "disk1", "rp1")
	if o := g.shown(t, "device/disk1"); o["Driver"].Value() != "virtio-blk-pci" || o["Bus"].Value() != "rp1" {
		t.Errorf("the device: %v", o)
	}
	midway(t, asking)
	signals := watch(t, g.conn, dbus.WithMatchInterface(objectManager))
	if err := g.method("device/disk1", "Device.Unplug", options()); err != nil {
		t.Fatal(err)
	}
	if o := g.shown(t, "device/disk1"); o != nil {
		t.Errorf("the object is still there: %v", o)
	}
	appears(t, signals, "InterfacesRemoved", "device/disk1")
	g.Run(t, "test ! -e /sys/block/vda")
	g.call(t, "BlockdevDel", "node-disk1") // refused while in use
	wantError(t, g.method("device/disk1", "Device.Unplug", options()), dbusError+"UnknownObject")
	err := g.method("device/rp1", "Device.Unplug", options()) // part of the board
	if errorName(err) != "org.qemu.VM1.Error.Qmp.GenericError" || !strings.Contains(err.Error(), "hotplug") {
		t.Errorf("unplugging what can't be: %v, want QEMU's words", err)
	}
}

// testUnplugPaused unplugs a disk while the guest is paused, which is no answer; it lets go when it runs again.
func testUnplugPaused(t *testing.T, g guest, midway interlude) {
	g.plugDisk(t, "disk2", "rp2")
	g.call(t, "Stop")
	wantError(t, g.method("device/disk2", "Device.Unplug", options("timeout", uint32(300))), dbusError+"Timeout")
	midway(t, flight{command: "device_del", path: vmPath + "/device/disk2", method: busName + ".Device.Unplug", args: []any{options()}})
	if g.shown(t, "device/disk2") == nil {
		t.Error("the device is not listed though the guest has it")
	}
	signals := watch(t, g.conn, dbus.WithMatchInterface(objectManager))
	g.call(t, "Cont")
	appears(t, signals, "InterfacesRemoved", "device/disk2")
	g.Run(t, "test ! -e /sys/block/vda")
	g.call(t, "BlockdevDel", "node-disk2")
}

// testNet plugs a NIC in, sets its link, has the guest give it another address, and unplugs it.
func testNet(t *testing.T, g guest, midway interlude) {
	const mac, other = "52:54:00:00:00:0a", "52:54:00:00:00:0b"
	g.call(t, "NetdevAdd", "net1", "user", options("restrict", true))
	g.call(t, "DeviceAdd", "virtio-net-pci", options("id", "nic1", "netdev", "net1", "mac", mac, "bus", "rp3"))
	g.Await(t, "test -e /sys/class/net/eth0")
	rig.Eventually(t, "the NIC is an object", func() bool { return g.shown(t, "net/nic1") != nil })
	want := map[string]any{"MAC": mac, "QueueCount": uint32(1), "Link": true, "Netdev": "net1"}
	for name, v := range g.shown(t, "net/nic1") {
		if v.Value() != want[name] {
			t.Errorf("%s = %v, want %v", name, v, want[name])
		}
	}
	if got := g.Run(t, "cat /sys/class/net/eth0/address"); got != mac {
		t.Errorf("the guest's NIC has the address %s, want %s", got, mac)
	}

	g.Run(t, "ip link set eth0 up")
	carrier := func(is string) { g.Await(t, "grep -q "+is+" /sys/class/net/eth0/carrier") }
	carrier("1")
	midway(t, asking)
	for _, up := range []bool{false, true} {
		g.object(t, "net/nic1", "Net.SetLink", up)
		if got := g.shown(t, "net/nic1")["Link"].Value(); got != up {
			t.Errorf("Link = %v, want %v", got, up)
		}
		carrier(map[bool]string{false: "0", true: "1"}[up])
	}
	g.call(t, "SetLink", "net1", false)
	carrier("0")
	rig.Eventually(t, "the NIC shows the link of its netdev", func() bool { return g.shown(t, "net/nic1")["Link"].Value() == false })

	g.Run(t, "ip link set eth0 down; ip link set eth0 address "+other)
	g.call(t, "QueryRxFilter", options("name", "nic1")) // QEMU told of the first change, that the NIC was up, and waits for this
	rig.Eventually(t, "the NIC shows the address that the guest gave it", func() bool { return g.shown(t, "net/nic1")["MAC"].Value() == other })

	g.object(t, "device/nic1", "Device.Unplug", options())
	if g.shown(t, "net/nic1") != nil {
		t.Error("the NIC is still an object")
	}
	g.Run(t, "test ! -e /sys/class/net/eth0")
	g.call(t, "NetdevDel", "net1")
}
