package e2e_test

import (
	"image"
	"image/draw"
	_ "image/png"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/godbus/dbus/v5"

	"qmp-dbus-bridge/e2e/rig"
)

// guest is a Linux guest, its bridge, by a line that can be cut, and a client of that.
type guest struct {
	*rig.Guest
	*client
	line line
}

// startGuest starts a guest and a bridge for it. args are QEMU's.
func startGuest(t testing.TB, args ...string) guest {
	t.Helper()
	return serveGuest(t, rig.StartGuest(t, rig.QEMU{Args: args}))
}

// serveGuest starts a bridge for a guest.
func serveGuest(t testing.TB, vm *rig.Guest) guest {
	t.Helper()
	l := serveByLine(t, vm.QEMU)
	return guest{vm, dial(t, l.bridge), l}
}

// TestGuest changes a guest's machine through the bridge and looks inside whether it has
// happened there; each case once more with the bridge cut off QEMU in the middle. The last thing that the guest does is to panic.
func TestGuest(t *testing.T) {
	g := startGuest(t, "-vga", "std", "-device", "virtio-scsi-pci", "-device", "scsi-cd,id=cd0")
	g.line.bothWays(t, "disk", func(t *testing.T, midway interlude) { testDisk(t, g, midway) })
	g.line.bothWays(t, "network", func(t *testing.T, midway interlude) { testNetwork(t, g, midway) })
	g.line.bothWays(t, "medium", func(t *testing.T, midway interlude) { testMedium(t, g, midway) })
	g.line.bothWays(t, "balloon", func(t *testing.T, midway interlude) { testBalloon(t, g, midway) })
	g.line.bothWays(t, "keys", func(t *testing.T, midway interlude) { testKeys(t, g, midway) })
	g.line.bothWays(t, "screen", func(t *testing.T, midway interlude) { testScreen(t, g, midway) })
	t.Run("panic", func(t *testing.T) { testPanic(t, g, g.line.interrupt) })
}

// testDisk plugs a disk in, resizes it, and unplugs it: the guest's writes are in its file.
func testDisk(t *testing.T, g guest, midway interlude) {
	path := rawImage(t, "nothing yet")
	g.call(t, "BlockdevAdd", "file", options("node-name", "plugged", "filename", path))
	g.call(t, "DeviceAdd", "virtio-blk-pci", options("id", "vblk0", "drive", "plugged", "bus", "rp1"))
	g.Await(t, "test -b /dev/vda")
	g.Run(t, "echo written by the guest | dd of=/dev/vda conv=notrunc,fsync")
	if got := readFile(t, path)[:21]; got != "written by the guest\n" {
		t.Errorf("the disk's file begins with %q", got)
	}
	rig.Eventually(t, "the disk is an object", func() bool { return g.shown(t, "block/vblk0") != nil })
	midway(t, asking)
	g.call(t, "BlockResize", 4<<20, options("node-name", "plugged"))
	g.Await(t, "test $(cat /sys/block/vda/size) = 8192") // sectors of 512 bytes
	rig.Eventually(t, "the drive shows its size", func() bool {
		return objects(t, g.conn)["block/vblk0"]["VirtualSize"].Value() == uint64(4<<20)
	})
	g.object(t, "block/vblk0", "Block.Resize", uint64(8<<20))
	g.Await(t, "test $(cat /sys/block/vda/size) = 16384")

	signals := watch(t, g.conn, dbus.WithMatchInterface(objectManager))
	g.call(t, "DeviceDel", "vblk0")
	appears(t, signals, "InterfacesRemoved", "device/vblk0") // once the guest has let go of it
	g.event(t, "DeviceDeleted", "device", "vblk0")
	g.call(t, "BlockdevDel", "plugged") // refused while in use
	g.Run(t, "test ! -e /sys/block/vda")
}

// testNetwork plugs a NIC in, pulls its cable, and unplugs it.
func testNetwork(t *testing.T, g guest, midway interlude) {
	g.call(t, "NetdevAdd", "net0", "user", options("restrict", true))
	g.call(t, "DeviceAdd", "virtio-net-pci", options("id", "nic0", "netdev", "net0", "mac", "52:54:00:00:00:07", "bus", "rp2"))
	g.Await(t, "test -e /sys/class/net/eth0")
	if got := g.Run(t, "cat /sys/class/net/eth0/address"); got != "52:54:00:00:00:07" {
		t.Errorf("the guest's NIC has the address %s", got)
	}
	g.Run(t, "ip link set eth0 up")
	g.Await(t, "grep -q 1 /sys/class/net/eth0/carrier")
	midway(t, asking)
	g.call(t, "SetLink", "nic0", false)
	g.Await(t, "grep -q 0 /sys/class/net/eth0/carrier")

	g.call(t, "DeviceDel", "nic0")
	g.event(t, "DeviceDeleted", "device", "nic0")
	g.call(t, "NetdevDel", "net0")
	g.Run(t, "test ! -e /sys/class/net/eth0")
}

// testMedium puts a medium into the CD drive, and takes it out.
func testMedium(t *testing.T, g guest, midway interlude) {
	const drive = "/dev/sr0"
	g.call(t, "BlockdevChangeMedium", rawImage(t, "on the medium"), options("id", "cd0", "format", "raw"))
	g.Await(t, "head -c 13 "+drive+" 2>/dev/null | grep -q 'on the medium'")
	g.call(t, "Eject", options("id", "cd0", "force", true))
	g.Await(t, "! head -c 1 "+drive+" 2>/dev/null")
	midway(t, asking)

	g.object(t, "block/cd0", "Block.ChangeMedium", rawImage(t, "on another"), options("format", "raw"))
	g.Await(t, "head -c 10 "+drive+" 2>/dev/null | grep -q 'on another'")
	g.object(t, "block/cd0", "Block.Eject", true)
	g.Await(t, "! head -c 1 "+drive+" 2>/dev/null")
}

// testBalloon takes a quarter of the guest's memory, and hears from the guest how much it has.
func testBalloon(t *testing.T, g guest, midway interlude) {
	const balloon, memory, all = "/machine/peripheral/balloon0", 96 << 20, 128 << 20
	before := g.Run(t, "grep MemTotal /proc/meminfo")
	g.call(t, "Balloon", memory)
	g.event(t, "BalloonChange", "actual", int64(memory))
	rig.Eventually(t, "BalloonActual shows it", func() bool { return get[uint64](t, g.conn, "BalloonActual") == memory })
	if now := g.Run(t, "grep MemTotal /proc/meminfo"); now == before {
		t.Errorf("the guest still has %s", now)
	}
	midway(t, asking)
	g.button(t, "SetMemory", uint64(memory+memory/8))
	rig.Eventually(t, "BalloonActual shows more", func() bool { return get[uint64](t, g.conn, "BalloonActual") == memory+memory/8 })
	g.button(t, "SetMemory", uint64(memory))
	rig.Eventually(t, "BalloonActual shows it", func() bool { return get[uint64](t, g.conn, "BalloonActual") == memory })
	g.call(t, "QomSet", balloon, "guest-stats-polling-interval", dbus.MakeVariant(1))
	rig.Eventually(t, "the guest tells how much memory it has", func() bool {
		told := g.call(t, "QomGet", balloon, "guest-stats").(dbus.Variant).Value().(map[string]dbus.Variant)
		total, ok := told["stats"].Value().(map[string]dbus.Variant)["stat-total-memory"].Value().(int64)
		return ok && total < memory // until then it is 2^64-1, no int64
	})
	g.button(t, "SetMemory", uint64(all)) // for the next time
	rig.Eventually(t, "the guest has it back", func() bool { return get[uint64](t, g.conn, "BalloonActual") == all })
}

// testKeys types a word on the guest's keyboard.
func testKeys(t *testing.T, g guest, midway interlude) {
	for name, press := range map[string]func(key string){
		"command": func(key string) {
			g.call(t, "SendKey", []map[string]dbus.Variant{options("type", "qcode", "data", key)})
		},
		"method": func(key string) { g.button(t, "SendKey", strings.Split(key, "-"), uint32(0)) },
	} {
		g.takeLine(t)
		keys, want := []string{"l", "i", "n", "u", "x", "ret"}, "linux"
		if name == "method" {
			keys[0], want = "shift-l", "Linux"
		}
		for i, key := range keys {
			press(key)
			if i == len(keys)/2 {
				midway(t, asking)
			}
		}
		if got := g.typed(t); got != want {
			t.Errorf("%s: the guest got %q, want %q", name, got, want)
		}
	}
}

// takeLine has the guest read a line from its keyboard, and returns when it does: what is typed before that may wait for one more key.
func (g guest) takeLine(t *testing.T) {
	t.Helper()
	g.Run(t, "rm -f /tmp/end; (head -n 1 /dev/tty1 >/tmp/typed; touch /tmp/end) &")
	g.Await(t, "ls -l /proc/[0-9]*/fd 2>/dev/null | grep -q /dev/tty1")
}

// typed is the line of takeLine.
func (g guest) typed(t *testing.T) string {
	t.Helper()
	g.Await(t, "test -e /tmp/end")
	return g.Run(t, "cat /tmp/typed")
}

// button calls a method of org.qemu.VM1, which must succeed.
func (g guest) button(t *testing.T, method string, args ...any) {
	t.Helper()
	if err := g.conn.Object(busName, vmPath).Call(busName+"."+method, 0, args...).Err; err != nil {
		t.Fatalf("%s%v: %v", method, args, err)
	}
}

// testScreen compares a screendump, and a screenshot, with what the guest has painted.
func testScreen(t *testing.T, g guest, midway interlude) {
	want := g.Paint(t)
	midway(t, screenshooting)
	path := filepath.Join(rig.TempDir(t), "screen.png")
	g.call(t, "Screendump", path, options("format", "png"))
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, file := range map[string]*os.File{"Screendump": f, "Screenshot": shoot(t, g.conn, nil)} {
		shown, _, err := image.Decode(file)
		file.Close()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got := image.NewRGBA(shown.Bounds())
		draw.Draw(got, got.Rect, shown, shown.Bounds().Min, draw.Src)
		if got.Rect != want.Rect {
			t.Fatalf("%s: the picture is %v, want %v", name, got.Rect, want.Rect)
		}
		for y := range want.Rect.Dy() {
			for x := range want.Rect.Dx() {
				if g, w := got.RGBAAt(x, y), want.RGBAAt(x, y); g != w {
					t.Fatalf("%s: the pixel at %d, %d is %v, want %v", name, x, y, g, w)
				}
			}
		}
	}
}

// testPanic has the guest's kernel panic: the event and the properties tell.
func testPanic(t *testing.T, g guest, midway interlude) {
	g.subscribe(t, "GUEST_PANICKED")
	g.Tell(t, "echo c >/proc/sysrq-trigger")
	g.event(t, "GuestPanicked", "action", "pause")
	panicked := func() bool {
		return !get[bool](t, g.conn, "Running") && get[string](t, g.conn, "Status") == "guest-panicked"
	}
	rig.Eventually(t, "the properties show the panic", panicked)
	midway(t, asking)
	if !panicked() {
		t.Error("the properties do not show the panic any more")
	}
}

// TestPowerButton presses a guest's power button: it shuts down, and so end QEMU and run, well.
func TestPowerButton(t *testing.T) {
	rig.Require(t, rig.QEMUProgram())
	for name, press := range map[string]func(*testing.T, *bridge, *client){
		"PowerDown": func(t *testing.T, _ *bridge, c *client) {
			if err := c.conn.Object(busName, vmPath).Call(busName+".PowerDown", 0).Err; err != nil {
				t.Error(err)
			}
		},
		"SIGTERM": func(t *testing.T, b *bridge, _ *client) { b.Signal(t, syscall.SIGTERM) },
	} {
		t.Run(name, func(t *testing.T) {
			b := runVM(t, []string{"--power-down-timeout", "60s"}, rig.GuestArgs(t, rig.TempDir(t))...)
			vm := qemuChild(t, b)
			t.Cleanup(func() { _ = syscall.Kill(vm, syscall.SIGKILL) }) // run is not given the time if the test fails
			c := dial(t, b)
			rig.WaitGuest(t, b.Process)
			press(t, b, c)
			c.event(t, "Shutdown", "reason", "guest-shutdown")
			if status := b.Wait(t); status != 0 {
				t.Errorf("exit status %d, want 0:\n%s", status, b.Output())
			}
		})
	}
}

// TestPowerButtonInterrupted has the bridge cut off QEMU when the power button has been pressed, and nobody knows: the guest shuts
// down, and the bridge shows it when it is back. QEMU stays, so that there is one to come back to.
func TestPowerButtonInterrupted(t *testing.T) {
	g := startGuest(t, "-no-shutdown")
	g.line.interrupt(t, flight{command: "system_powerdown", path: vmPath, method: busName + ".PowerDown"})
	rig.Eventually(t, "the guest has shut down", func() bool {
		return !get[bool](t, g.conn, "Running") && get[string](t, g.conn, "Status") == "shutdown"
	})
}

// rawImage makes a raw image of 1 MiB that begins with a text.
func rawImage(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(rig.TempDir(t), "image")
	content := make([]byte, 1<<20)
	copy(content, text)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func readFile(t testing.TB, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
