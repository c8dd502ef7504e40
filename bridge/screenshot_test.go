package bridge_test

import (
	"fmt"
	"image/png"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/e2e/rig"
)

const screenshot = busName + ".Screenshot"

// shoot takes a screenshot, and reads it.
func (c *caller) shoot(options map[string]dbus.Variant) (string, error) {
	c.tb.Helper()
	image, err := c.call(vmPath, screenshot, options)
	if err != nil {
		return "", err
	}
	file := os.NewFile(uintptr(image.(dbus.UnixFD)), "image")
	defer file.Close()
	text, err := io.ReadAll(file)
	return string(text), err
}

func format(f string) map[string]dbus.Variant {
	return map[string]dbus.Variant{"format": dbus.MakeVariant(f)}
}

// TestScreenshot takes some, in all formats and of all that can be asked for.
func TestScreenshot(t *testing.T) {
	m := newMachine(t, nil)
	newScreen(m)
	w := serve(t, m)
	c := w.as(admin)
	for _, test := range []struct {
		options map[string]dbus.Variant
		told    string // to QEMU
		format  string
	}{
		{none, `{"filename":"/dev/fdset/SET"}`, "png"},
		{format("png"), `{"filename":"/dev/fdset/SET"}`, "png"},
		{format("ppm"), `{"filename":"/dev/fdset/SET"}`, "ppm"},
		{map[string]dbus.Variant{"device": dbus.MakeVariant(`video"0`)}, `{"filename":"/dev/fdset/SET","device":"video\"0"}`, "png"},
		{
			map[string]dbus.Variant{"head": dbus.MakeVariant(int16(1)), "device": dbus.MakeVariant("v"), "format": dbus.MakeVariant("ppm")},
			`{"filename":"/dev/fdset/SET","device":"v","head":1}`, "ppm",
		},
		{map[string]dbus.Variant{"head": dbus.MakeVariant(dbus.MakeVariant(uint32(2)))}, `{"filename":"/dev/fdset/SET","head":2}`, "png"},
	} {
		got, err := c.shoot(test.options)
		if err != nil {
			t.Errorf("%v: %v", test.options, err)
			continue
		}
		wantPicture(t, got, test.format)
		told := []string{addFD, "screendump " + test.told, removeFD}
		if diff := cmp.Diff(passed(told), passed(m.commands())); diff != "" {
			t.Errorf("%v: QEMU was told (-want +got):\n%s", test.options, diff)
		}
	}
	noMemories(t)
	for _, r := range w.records(6) {
		if r.Action != "screendump" || r.Result != "ok" {
			t.Errorf("record %+v", r)
		}
	}
}

// wantPicture checks that got is picture1.
func wantPicture(t *testing.T, got, format string) {
	t.Helper()
	if format == "ppm" {
		if got != picture1 {
			t.Errorf("the picture is %q", got)
		}
		return
	}
	p, err := png.Decode(strings.NewReader(got))
	if err != nil {
		t.Errorf("%v: %q", err, got)
		return
	}
	r, _, _, _ := p.At(0, 0).RGBA()
	_, _, b, _ := p.At(1, 0).RGBA()
	if p.Bounds().Dx() != 2 || p.Bounds().Dy() != 1 || r != 0xffff || b != 0xffff {
		t.Errorf("the picture is %v", p)
	}
}

// TestScreenshotOptions has options that are none.
func TestScreenshotOptions(t *testing.T) {
	m := newMachine(t, nil)
	newScreen(m)
	c := serve(t, m).as(admin)
	for want, options := range map[string]map[string]dbus.Variant{
		"options.format: 'gif' is not one of png, ppm":                                    format("gif"),
		"options.format: of D-Bus type 'u', which is none of 's'":                         {"format": dbus.MakeVariant(uint32(1))},
		"options.device: of D-Bus type 'as', which is none of 's'":                        {"device": dbus.MakeVariant([]string{"x"})},
		"options.head: of D-Bus type 'd', which is none of 'ynqiuxt'":                     {"head": dbus.MakeVariant(1.0)},
		"options.device: the string has the noncharacter U+FFFE, which QEMU refuses":      {"device": dbus.MakeVariant("\uFFFE")},
		`options: there is no "filename"; there are device, head and format`:              {"filename": dbus.MakeVariant("/etc/passwd")},
		`options: there is no "Format"; there are device, head and format`:                {"Format": dbus.MakeVariant("png")},
		`options: there is no "` + longText[:64] + `"; there are device, head and format`: {longText: dbus.MakeVariant("")},
	} {
		if _, err := c.shoot(options); errorName(err) != dbusError+"InvalidArgs" || err.Error() != want {
			t.Errorf("%v: %v, want %s", options, err, want)
		}
	}
	if got := m.commands(); got != nil {
		t.Errorf("QEMU was told %q", got)
	}
}

// TestScreenshotLacking has a QEMU that shows nothing.
func TestScreenshotLacking(t *testing.T) {
	m := newMachine(t, nil)
	if _, err := serve(t, m).as(admin).shoot(none); errorName(err) != dbusError+"NotSupported" {
		t.Errorf("Screenshot = %v, want NotSupported", err)
	}
	if got := m.commands(); got != nil {
		t.Errorf("QEMU was told %q", got)
	}
}

// TestScreenshotIsTheCallers looks at what a caller gets: it can be read by any process that is given it, and
// nobody can change it.
func TestScreenshotIsTheCallers(t *testing.T) {
	m := newMachine(t, nil)
	newScreen(m)
	image, err := serve(t, m).as(admin).call(vmPath, screenshot, format("ppm"))
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(image.(dbus.UnixFD)), "image")
	defer file.Close()
	wantSealed(t, file)
}

func wantSealed(t *testing.T, file *os.File) {
	t.Helper()
	const want = unix.F_SEAL_SEAL | unix.F_SEAL_WRITE | unix.F_SEAL_GROW | unix.F_SEAL_SHRINK
	if got, err := unix.FcntlInt(file.Fd(), unix.F_GET_SEALS, 0); err != nil || got&want != want {
		t.Errorf("seals %#x, %v", got, err)
	}
	if _, err := file.Write([]byte("x")); err == nil {
		t.Error("it can be written")
	}
	again, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", file.Fd()), os.O_RDWR, 0)
	if err != nil {
		return // a user who may not
	}
	defer again.Close()
	if _, err := again.WriteAt([]byte("x"), 0); err == nil {
		t.Error("it can be written when opened again")
	}
	for _, size := range []int64{0, 1 << 20} {
		if err := again.Truncate(size); err == nil {
			t.Errorf("it can be truncated to %d", size)
		}
	}
}

// TestScreenshotDecision is that a screenshot is a screendump without a filename for a policy, so that it may allow
// the one and not the other.
func TestScreenshotDecision(t *testing.T) {
	m := newMachine(t, nil)
	newScreen(m)
	w := newWorld(t, m.dial)
	w.cedar = []string{`@id("shots") permit (principal in User::"1", action == Action::"screendump", resource)
when { ["device"].containsAll(context.argumentNames) };`}
	w.join()
	w.run()
	c, other := w.as(viewer), w.as(operator)
	device := map[string]dbus.Variant{"device": dbus.MakeVariant("v")}
	for what, denied := range map[string]func() error{
		"Screenshot of another":   func() error { _, err := other.shoot(none); return err },
		"Screenshot with another": func() error { _, err := c.shoot(map[string]dbus.Variant{"head": dbus.MakeVariant(1)}); return err },
		"a filename by CallJson":  func() error { _, err := c.call(qmpPath, callJSON, "screendump", `{"filename":"/x"}`); return err },
		"an fdset by CallJson": func() error {
			_, err := c.call(qmpPath, callJSON, "screendump", `{"filename":"/dev/fdset/3"}`)
			return err
		},
		"a filename by Call": func() error {
			_, err := c.call(qmpPath, call, "screendump", map[string]dbus.Variant{"filename": dbus.MakeVariant("/x")})
			return err
		},
		"a filename and format": func() error {
			_, err := c.call(qmpPath, callJSON, "screendump", `{"filename":"/x","device":"v"}`)
			return err
		},
		"add-fd":                      func() error { _, err := c.execute("add-fd"); return err },
		"remove-fd":                   func() error { _, err := c.execute("remove-fd"); return err },
		"Screenshot of who left it":   func() error { return w.as(stranger).vm("Screenshot", none) },
		"Screenshot with a bad value": func() error { return other.vm("Screenshot", format("gif")) },
	} {
		if err := denied(); errorName(err) != dbusError+"AccessDenied" {
			t.Errorf("%s: %v, want AccessDenied", what, err)
		}
	}
	if got := m.commands(); got != nil {
		t.Errorf("QEMU was told %q, want nothing", got)
	}
	for _, options := range []map[string]dbus.Variant{none, device, format("ppm")} {
		if _, err := c.shoot(options); err != nil {
			t.Errorf("%v: %v", options, err)
		}
	}
	if got, err := c.call(vmPath, busName+".CanExecute", "screendump"); got != true {
		t.Errorf("CanExecute = %v, %v", got, err)
	}
}

// TestScreenshotForNobody has a caller that wants no reply.
func TestScreenshotForNobody(t *testing.T) {
	m := newMachine(t, nil)
	newScreen(m)
	w := serve(t, m)
	raw := rig.DialRaw(t, admin, w.bus.Address)
	call := rig.CallMessage(busName, vmPath, busName, "Screenshot", none)
	call.Flags = dbus.FlagNoReplyExpected
	raw.Send(t, call)
	w.records(1)
	noMemories(t)
}
