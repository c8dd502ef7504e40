package e2e_test

import (
	"image"
	"image/color"
	_ "image/png"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/e2e/rig"
)

// uiWorker is a client UI, which reaches QEMU's display as well as the bridge.
var uiWorker = worker{
	user: cast.ui, role: "operator", policy: "ui",
	may: "screendump",
	mayNot: [][2]string{
		{"screendump", `{"filename":"/tmp/mine"}`},
		{"screendump", `{"filename":"/dev/fdset/0","device":"video0"}`},
		{"add-fd", ""},
		{"query-vnc", ""},
		{"add_client", `{"protocol":"vnc","fdname":"mine"}`},
	},
}

// TestUI has QEMU's own display and the bridge side by side on one bus, and a UI that uses both: it sees the guest, types, and
// presses the power button, and can do nothing else.
func TestUI(t *testing.T) { onConfigured(t, testUI) }

func testUI(t *testing.T, start startBus) {
	w := openWorkplace(t, start, []worker{uiWorker}, func(address string) []string {
		return []string{
			"-display", "dbus,addr=" + address, "-device", "VGA,id=video0",
			"-chardev", "dbus,id=raw0,name=org.qemu.monitor.qmp.0", "-mon", "mode=control,chardev=raw0",
		}
	})
	t.Run("limits", func(t *testing.T) {
		w.confined(t, uiWorker)
		conn := uiWorker.user.MustDial(t, w.address)
		raw := conn.Object("org.qemu", "/org/qemu/Display1/Chardev_raw0")
		for _, method := range []string{"Register", "SendBreak"} {
			wantError(t, raw.Call("org.qemu.Display1.Chardev."+method, 0).Err, dbusError+"AccessDenied")
		}
	})
	want := w.Paint(t)
	t.Run("pictures", func(t *testing.T) { w.testPictures(t, want) })
	t.Run("keys", w.testUIKeys)
	t.Run("power", func(t *testing.T) {
		p := w.start(t, uiWorker.user, "ui.py", "power")
		if status := p.Wait(t); status != 0 {
			t.Errorf("exit status %d:\n%s", status, p.Output())
		}
		if status := w.Wait(t); status != 0 {
			t.Errorf("QEMU's exit status %d:\n%s", status, w.Output())
		}
	})
}

// testPictures compares what the guest shows with a screenshot by the bridge, and with what QEMU's display sends.
func (w *workplace) testPictures(t *testing.T, want image.Image) {
	path := filepath.Join(uiWorker.user.TempDir(t), "shot.png")
	p := w.start(t, uiWorker.user, "ui.py", "shot", path)
	if status := p.Wait(t); status != 0 || p.Output() != "720 x 400\n" {
		t.Fatalf("exit status %d:\n%s", status, p.Output())
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	shot, _, err := image.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	sameImage(t, "the screenshot", shot, want)
	sameImage(t, "QEMU's display", w.scanout(t), want)
}

func sameImage(t *testing.T, name string, got, want image.Image) {
	t.Helper()
	if got.Bounds() != want.Bounds() {
		t.Fatalf("%s: %v, want %v", name, got.Bounds(), want.Bounds())
	}
	for y := range want.Bounds().Dy() {
		for x := range want.Bounds().Dx() {
			g, w := color.RGBAModel.Convert(got.At(x, y)), color.RGBAModel.Convert(want.At(x, y))
			if g != w {
				t.Fatalf("%s: the pixel at %d, %d is %v, want %v", name, x, y, g, w)
			}
		}
	}
}

// screen is a listener at QEMU's display, org.qemu.Display1.Listener.
type screen chan *image.RGBA

// Scanout gets a whole picture, of 32 bits a pixel: blue, green, red, and one unused.
func (s screen) Scanout(width, height, stride, _ uint32, data []byte) *dbus.Error {
	picture := image.NewRGBA(image.Rect(0, 0, int(width), int(height)))
	for y := range int(height) {
		for x := range int(width) {
			p := data[y*int(stride)+4*x:]
			picture.SetRGBA(x, y, color.RGBA{p[2], p[1], p[0], 0xff})
		}
	}
	select {
	case s <- picture:
	default: // one is enough
	}
	return nil
}

// scanout is what QEMU sends to a UI that listens.
func (w *workplace) scanout(t *testing.T) image.Image {
	t.Helper()
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	own := os.NewFile(uintptr(ends[0]), "listener")
	stream, err := net.FileConn(own)
	own.Close()
	if err != nil {
		t.Fatal(err)
	}
	listener, err := dbus.NewConn(stream)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	pictures := make(screen, 1)
	if err := listener.Export(pictures, "/org/qemu/Display1/Listener", "org.qemu.Display1.Listener"); err != nil {
		t.Fatal(err)
	}
	registered := uiWorker.user.MustDial(t, w.address).Object("org.qemu", "/org/qemu/Display1/Console_0").
		Go("org.qemu.Display1.Console.RegisterListener", 0, make(chan *dbus.Call, 1), dbus.UnixFD(ends[1]))
	defer syscall.Close(ends[1])
	if err := listener.Auth([]dbus.Auth{dbus.AuthExternal("0")}); err != nil { // QEMU waits for it, as the server
		t.Fatal(err)
	}
	if err := (<-registered.Done).Err; err != nil {
		t.Fatal(err)
	}
	select {
	case picture := <-pictures:
		return picture
	case <-time.After(rig.Timeout):
		t.Fatalf("no picture within %v", rig.Timeout)
		return nil
	}
}

// testUIKeys types into the guest, half of it by the bridge and half by QEMU's display.
func (w *workplace) testUIKeys(t *testing.T) {
	w.takeLine(t)
	p := w.start(t, uiWorker.user, "ui.py", "keys")
	if status := p.Wait(t); status != 0 {
		t.Fatalf("exit status %d:\n%s", status, p.Output())
	}
	if got := w.typed(t); got != "linux" {
		t.Errorf("the guest got %q, want linux", got)
	}
}
