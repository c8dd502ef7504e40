package e2e_test

import (
	"bytes"
	"fmt"
	"image"
	"image/png"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/e2e/rig"
)

// shoot takes a screenshot and returns the file.
func shoot(t testing.TB, conn *dbus.Conn, options map[string]dbus.Variant) *os.File {
	t.Helper()
	var fd dbus.UnixFD
	if err := conn.Object(busName, vmPath).Call(busName+".Screenshot", 0, options).Store(&fd); err != nil {
		t.Fatalf("Screenshot(%v): %v", options, err)
	}
	return os.NewFile(uintptr(fd), "screenshot")
}

// shot takes a screenshot and returns what is in it.
func shot(t testing.TB, conn *dbus.Conn, options map[string]dbus.Variant) string {
	t.Helper()
	file := shoot(t, conn, options)
	defer file.Close()
	text, err := io.ReadAll(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// fdsets is what QEMU has of them.
func fdsets(t testing.TB, conn *dbus.Conn) []any {
	t.Helper()
	sets, err := qmp(conn, "query-fdsets", nil)
	if err != nil {
		t.Fatal(err)
	}
	list, _ := sets.([]map[string]dbus.Variant)
	all := []any{}
	for _, set := range list {
		all = append(all, set)
	}
	return all
}

// memoryFiles counts the files in memory that a process has for screenshots.
func memoryFiles(t testing.TB, pid int) (count int) {
	t.Helper()
	for _, target := range rig.FDs(t, pid) {
		if strings.Contains(target, "memfd:screenshot") {
			count++
		}
	}
	return count
}

// TestScreenshot compares screenshots with what QEMU dumps into a file, and looks for what they leave behind, also where the bridge
// is cut off QEMU while it takes one.
func TestScreenshot(t *testing.T) {
	onBothBuses(t, func(t *testing.T, flags []string) { testScreenshot(t, rig.QEMUProgram(), flags) })
}

// TestScreenshotOfOtherQEMUs is TestScreenshot on other versions. 5.2 makes no PNG itself.
func TestScreenshotOfOtherQEMUs(t *testing.T) {
	for _, version := range []string{"5.2", "10"} {
		t.Run(version, func(t *testing.T) { testScreenshot(t, rig.OtherQEMU(t, version), nil) })
	}
}

func testScreenshot(t *testing.T, qemu string, flags []string) {
	vm := rig.StartQEMU(t, rig.QEMU{Program: qemu, Args: []string{"-device", "VGA,id=video0"}})
	l := serveByLine(t, vm, flags...)
	requireConfined(t, l.bridge.PID())
	s := shooting{passing{dial(t, l.bridge), vm, l.bridge}}
	rig.Eventually(t, "the firmware shows something", func() bool {
		return len(strings.Trim(shot(t, s.conn, ppm)[len("P6\n720 400\n255\n"):], "\x00")) > 0
	})
	if err := s.conn.Object(busName, vmPath).Call(busName+".Pause", 0).Err; err != nil {
		t.Fatal(err)
	}
	s.compare(t)
	s.refused(t)
	s.whilePaused(t)
	if err := s.conn.Object(busName, vmPath).Call(busName+".Resume", 0).Err; err != nil {
		t.Fatal(err)
	}
	shot(t, s.conn, nil)
	s.cleared(t)
	before := s.holding(t)
	for i := range 100 {
		format := "ppm"
		if i%10 == 0 {
			format = "png"
		}
		shot(t, s.conn, options("format", format))
	}
	s.wantNoMore(t, before, "100 screenshots")
	l.interrupt(t, screenshooting)
	shot(t, s.conn, nil)
	s.wantNoMore(t, before, "one that was interrupted")
}

var ppm = options("format", "ppm")

// shooting is a client that takes screenshots of a QEMU by a bridge.
type shooting struct{ passing }

// compare compares pictures with what QEMU dumps into a file, of a guest that stands still.
func (s shooting) compare(t *testing.T) {
	path := filepath.Join(rig.TempDir(t), "screen.ppm")
	s.call(t, "Screendump", path)
	want := readFile(t, path)
	for name, o := range map[string]map[string]dbus.Variant{
		"ppm": ppm, "of a device": options("format", "ppm", "device", "video0", "head", 0),
	} {
		if got := shot(t, s.conn, o); got != want {
			t.Errorf("%s: a picture of %d bytes, which is not that of %d that QEMU dumps", name, len(got), len(want))
		}
	}
	for _, o := range []map[string]dbus.Variant{nil, options("format", "png"), options("device", "video0")} {
		got, err := png.Decode(strings.NewReader(shot(t, s.conn, o)))
		if err != nil {
			t.Fatal(err)
		}
		samePixels(t, got, want)
	}
	file := shoot(t, s.conn, nil)
	wantSealed(t, file)
	file.Close()
}

// refused asks for what there is no picture of.
func (s shooting) refused(t *testing.T) {
	object := s.conn.Object(busName, vmPath)
	for want, o := range map[string]map[string]dbus.Variant{
		"org.qemu.VM1.Error.Qmp.DeviceNotFound": options("device", "nosuch"),
		"org.qemu.VM1.Error.Qmp.GenericError":   options("head", 1), // of no device
		dbusError + "InvalidArgs":               options("filename", "/x"),
	} {
		wantError(t, object.Call(busName+".Screenshot", 0, o).Err, want)
	}
}

// whilePaused takes pictures of a guest that stands still: then an older QEMU lets go of nothing, and has one file for all.
func (s shooting) whilePaused(t *testing.T) {
	if n := len(fdsets(t, s.conn)); n > 1 {
		t.Errorf("%d fdsets while the guest is paused, want 1 at most", n)
	}
	paused := len(rig.FDs(t, s.vm.PID()))
	for range 20 {
		shot(t, s.conn, ppm)
	}
	if n := len(rig.FDs(t, s.vm.PID())); n > paused {
		t.Errorf("QEMU has %d descriptors after 20 screenshots, %d before", n, paused)
	}
}

// cleared checks that no set and no file of ours is left, once the guest runs.
func (s shooting) cleared(t *testing.T) {
	t.Helper()
	if sets := fdsets(t, s.conn); len(sets) > 0 {
		t.Errorf("fdsets are left: %v", sets)
	}
	if n := memoryFiles(t, s.vm.PID()); n > 0 {
		t.Errorf("QEMU has %d of our files", n)
	}
	rig.Eventually(t, "the bridge has none", func() bool { return memoryFiles(t, s.b.PID()) == 0 })
}

// wantNoMore is cleared, and checks that nobody has more open than before.
func (s shooting) wantNoMore(t *testing.T, before held, after string) {
	t.Helper()
	s.cleared(t)
	if now := s.holding(t); !now.atMost(before) {
		t.Errorf("after %s is open %+v, before %+v", after, now, before)
	}
}

// samePixels compares a picture with a PPM.
func samePixels(t *testing.T, got image.Image, ppm string) {
	t.Helper()
	var width, height, header int
	if _, err := fmt.Sscanf(ppm, "P6\n%d %d\n", &width, &height); err != nil {
		t.Fatal(err)
	}
	header = len(ppm) - 3*width*height
	if got.Bounds() != image.Rect(0, 0, width, height) {
		t.Fatalf("the picture is %v, want %d by %d", got.Bounds(), width, height)
	}
	for i := range width * height {
		r, g, b, a := got.At(i%width, i/width).RGBA()
		if want := ppm[header+3*i:][:3]; !bytes.Equal([]byte{byte(r >> 8), byte(g >> 8), byte(b >> 8)}, []byte(want)) || a != 0xffff {
			t.Fatalf("the pixel at %d, %d is %x %x %x, want %x", i%width, i/width, r, g, b, want)
		}
	}
}

// wantSealed checks that nobody can change a file.
func wantSealed(t *testing.T, file *os.File) {
	t.Helper()
	const want = unix.F_SEAL_SEAL | unix.F_SEAL_WRITE | unix.F_SEAL_GROW | unix.F_SEAL_SHRINK
	if seals, err := unix.FcntlInt(file.Fd(), unix.F_GET_SEALS, 0); err != nil || seals&want != want {
		t.Errorf("seals %#x, %v", seals, err)
	}
	again, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", file.Fd()), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	for name, err := range map[string]error{
		"written":           func() error { _, err := file.Write([]byte("x")); return err }(),
		"opened to write":   func() error { _, err := again.WriteAt([]byte("x"), 0); return err }(),
		"emptied":           again.Truncate(0),
		"made larger":       again.Truncate(1 << 30),
		"mapped for writes": func() error { _, err := unix.Mmap(int(again.Fd()), 0, 1, unix.PROT_WRITE, unix.MAP_SHARED); return err }(),
	} {
		if err == nil {
			t.Errorf("it can be %s", name)
		}
	}
}

// TestScreenshotOfUI has the shipped policy for user interfaces at work, with QEMU and the bridge as users of their own: a screenshot may
// be taken, and QEMU be told to write no file.
func TestScreenshotOfUI(t *testing.T) {
	rig.RequireRoot(t)
	example, status := rig.Run(t, command("policy", "show", "ui"))
	if status != 0 {
		t.Fatal(example)
	}
	policy := filepath.Join(rig.TempDir(t), "ui.cedar")
	ui := cast.viewer
	if err := os.WriteFile(policy, []byte(strings.ReplaceAll(example, `Group::"995"`, fmt.Sprintf("User::%q", fmt.Sprint(ui.UID)))), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, start := range configured {
		t.Run(name, func(t *testing.T) {
			bus := start(t, busConfig(t, slices.Concat(castUsers, castGrants)...))
			vm := startQEMUAs(t, cast.qemu, rig.QEMU{Args: []string{"-vga", "std"}})
			p := rig.Start(t, cast.bridge.Command(program, slices.Concat(
				[]string{"serve", "--qmp", vm.Monitors[0], "--bus", bus.Address, "--audit", "none", "--policy", policy}, castGrants)...))
			p.WaitOutput(t, "bus=")
			t.Cleanup(func() { noRaces(t, p) })
			requireConfined(t, p.PID())
			conn := ui.MustDial(t, bus.Address)
			path := filepath.Join(vm.Dir, "dumped")
			for _, arguments := range []string{
				`{"filename":"` + path + `"}`, `{"filename":"` + path + `","device":"video0"}`, `{"filename":"/dev/fdset/0"}`,
			} {
				err := conn.Object(busName, qmpPath).Call(qmpIf+".CallJson", 0, "screendump", arguments).Err
				wantError(t, err, dbusError+"AccessDenied")
			}
			wantError(t, conn.Object(busName, qmpPath).Call(qmpIf+".Screendump", 0, path).Err, dbusError+"AccessDenied")
			for _, command := range []string{"add-fd", "remove-fd", "query-fdsets", "quit"} {
				wantError(t, conn.Object(busName, qmpPath).Call(qmpIf+".CallJson", 0, command, "").Err, dbusError+"AccessDenied")
			}
			for _, other := range []rig.User{cast.helpers[0], cast.ui} { // an operator, for all that
				err := other.MustDial(t, bus.Address).Object(busName, vmPath).Call(busName+".Screenshot", 0, options()).Err
				wantError(t, err, dbusError+"AccessDenied")
			}
			if _, err := os.Stat(path); !os.IsNotExist(err) {
				t.Errorf("a file was written: %v", err)
			}
			wantError(t, conn.Object(busName, qmpPath).Call(qmpIf+".CallJson", 0, "screendump", "").Err, "org.qemu.VM1.Error.Qmp.GenericError")

			if _, err := png.Decode(strings.NewReader(shot(t, conn, nil))); err != nil {
				t.Error(err)
			}
			for member, arguments := range map[string][]any{
				"Pause": nil, "SendKey": {[]string{"ctrl", "alt", "delete"}, uint32(0)},
			} {
				if err := conn.Object(busName, vmPath).Call(busName+"."+member, 0, arguments...).Err; err != nil {
					t.Errorf("%s: %v", member, err)
				}
			}
			wantSealed(t, shoot(t, conn, nil))
		})
	}
}

// TestScreenshotWithoutDescriptors has a client that can't be passed any ask for screenshots. It gets no answer, or is
// disconnected, by the bus; others get theirs, and nothing is left.
func TestScreenshotWithoutDescriptors(t *testing.T) {
	onBothBuses(t, func(t *testing.T, flags []string) {
		vm := rig.StartQEMU(t, rig.QEMU{Args: []string{"-vga", "std"}})
		b := serveQEMU(t, vm, flags...)
		stream, err := net.Dial("unix", strings.TrimPrefix(b.address, "unix:path="))
		if err != nil {
			t.Fatal(err)
		}
		poor, err := dbus.NewConn(struct{ io.ReadWriteCloser }{stream})
		if err != nil {
			t.Fatal(err)
		}
		defer poor.Close()
		if err := poor.Auth(nil); err != nil {
			t.Fatal(err)
		}
		if err := poor.Hello(); err != nil {
			t.Fatal(err)
		}
		for range 10 {
			poor.Object(busName, vmPath).Go(busName+".Screenshot", 0, make(chan *dbus.Call, 1), options())
		}
		conn := rig.Self().MustDial(t, b.address)
		shot(t, conn, nil)
		rig.Eventually(t, "nothing is left", func() bool { return len(fdsets(t, conn)) == 0 && memoryFiles(t, b.PID()) == 0 })
		shot(t, conn, nil)
	})
}
