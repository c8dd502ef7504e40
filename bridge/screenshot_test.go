package bridge_test

import (
	"encoding/json"
	"fmt"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/bridge/picture"
	"qmp-dbus-bridge/e2e/rig"
	"qmp-dbus-bridge/qmp/qmptest"
)

const screenshot = busName + ".Screenshot"

// screen is the part of a fake QEMU that takes screenshots.
type screen struct {
	tb testing.TB

	mu    sync.Mutex // guards what follows
	sets  map[int]*os.File
	shows string // what is written
}

// picture1 are two pixels, red and blue.
const picture1 = "P6\n2 1\n255\n\xff\x00\x00\x00\x00\xff"

// newScreen gives m one.
func newScreen(m *machine) *screen {
	s := &screen{tb: m.tb, sets: map[int]*os.File{}, shows: picture1}
	m.answer("query-qmp-schema", schemaOf(m.tb, []string{"balloon", "screendump", "send-key"}, []string{"RESUME", "STOP"}))
	m.script("add-fd", s.add)
	m.script("screendump", s.dump)
	m.script("remove-fd", s.remove)
	return s
}

func (s *screen) show(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shows = text
}

func (s *screen) add(_ *qmptest.QEMU, r *qmptest.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := 3 // other sets are there
	for s.sets[id] != nil {
		id++
	}
	if len(r.Files) != 1 {
		s.tb.Errorf("%d descriptors with add-fd", len(r.Files))
		return
	}
	s.sets[id] = r.Files[0]
	r.Return(fmt.Sprintf(`{"fdset-id": %d, "fd": 11}`, id))
}

// set is the one that a request names.
func (s *screen) set(r *qmptest.Request) (id int, file *os.File) {
	var arguments struct {
		Filename string
		ID       int `json:"fdset-id"`
	}
	if err := json.Unmarshal(r.Arguments, &arguments); err != nil {
		s.tb.Error(err)
	}
	id = arguments.ID
	if name, ok := strings.CutPrefix(arguments.Filename, "/dev/fdset/"); ok {
		id, _ = strconv.Atoi(name)
	}
	return id, s.sets[id]
}

// dump does as QEMU does: it wants a descriptor that is only for writing, truncates the file and writes on where it was.
func (s *screen) dump(_ *qmptest.QEMU, r *qmptest.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, file := s.set(r)
	if file == nil {
		r.Fail("GenericError", "failed to open file: No such file or directory")
		return
	}
	mode, err := unix.FcntlInt(file.Fd(), unix.F_GETFL, 0)
	if err != nil || mode&unix.O_ACCMODE != unix.O_WRONLY {
		s.tb.Errorf("the descriptor has mode %#x, %v", mode, err)
	}
	if err := file.Truncate(0); err != nil {
		s.tb.Error(err)
	}
	if size, sparse := strings.CutPrefix(s.shows, "sparse "); sparse {
		n, _ := strconv.ParseInt(size, 10, 64)
		err = file.Truncate(n)
	} else {
		_, err = file.WriteString(s.shows)
	}
	if err != nil {
		s.tb.Error(err)
	}
	r.Return("{}")
}

func (s *screen) remove(_ *qmptest.QEMU, r *qmptest.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id, file := s.set(r)
	if file == nil {
		r.Fail("GenericError", "File descriptor named 'fdset-id:N' not found")
		return
	}
	file.Close()
	delete(s.sets, id)
	r.Return("{}")
}

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

// memories are the memory files that this process has open, but those that a caller has.
func memories(tb testing.TB) (list []string) {
	tb.Helper()
	names, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		tb.Fatal(err)
	}
	for _, name := range names {
		if target, err := os.Readlink(name); err == nil && strings.Contains(target, "memfd:") {
			list = append(list, target)
		}
	}
	return list
}

// noMemories waits until none is open.
func noMemories(tb testing.TB) {
	tb.Helper()
	rig.Eventually(tb, "no memory file is open", func() bool { return len(memories(tb)) == 0 })
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
		{none, `{"filename":"/dev/fdset/3"}`, "png"},
		{format("png"), `{"filename":"/dev/fdset/3"}`, "png"},
		{format("ppm"), `{"filename":"/dev/fdset/3"}`, "ppm"},
		{map[string]dbus.Variant{"device": dbus.MakeVariant(`video"0`)}, `{"filename":"/dev/fdset/3","device":"video\"0"}`, "png"},
		{
			map[string]dbus.Variant{"head": dbus.MakeVariant(int16(1)), "device": dbus.MakeVariant("v"), "format": dbus.MakeVariant("ppm")},
			`{"filename":"/dev/fdset/3","device":"v","head":1}`, "ppm",
		},
		{map[string]dbus.Variant{"head": dbus.MakeVariant(dbus.MakeVariant(uint32(2)))}, `{"filename":"/dev/fdset/3","head":2}`, "png"},
	} {
		got, err := c.shoot(test.options)
		if err != nil {
			t.Errorf("%v: %v", test.options, err)
			continue
		}
		wantPicture(t, got, test.format)
		told := []string{`add-fd {"opaque":"bridge:screenshot"}`, "screendump " + test.told, `remove-fd {"fdset-id":3}`}
		if diff := cmp.Diff(told, m.commands()); diff != "" {
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

// TestScreenshotFails has each step fail: the caller is told, QEMU is left with no file of ours, and we with none.
func TestScreenshotFails(t *testing.T) {
	refuse := func(_ *qmptest.QEMU, r *qmptest.Request) { r.Fail("DeviceNotFound", "why") }
	hangUp := func(q *qmptest.QEMU, _ *qmptest.Request) { q.Hangup() }
	const qmpError = ourError + "Qmp.DeviceNotFound"
	for name, test := range map[string]struct {
		step    string
		handler qmptest.Handler // nil: as usual
		shows   string
		want    string // "": success
		removed bool
	}{
		"add-fd refused":         {step: "add-fd", handler: refuse, want: qmpError},
		"add-fd tells nothing":   {step: "add-fd", handler: func(_ *qmptest.QEMU, r *qmptest.Request) { r.Return("{}") }, want: ourError + "Protocol"},
		"add-fd tells nonsense":  {step: "add-fd", handler: func(_ *qmptest.QEMU, r *qmptest.Request) { r.Return(`{"fdset-id":"3\",\"x"}`) }, want: ourError + "Protocol"},
		"gone at add-fd":         {step: "add-fd", handler: hangUp, want: ourError + "Disconnected"},
		"screendump refused":     {step: "screendump", handler: refuse, want: qmpError, removed: true},
		"gone at screendump":     {step: "screendump", handler: hangUp, want: ourError + "Disconnected"},
		"nothing written":        {step: "screendump", handler: func(_ *qmptest.QEMU, r *qmptest.Request) { r.Return("{}") }, want: ourError + "Protocol", removed: true},
		"no picture":             {shows: "no picture", want: ourError + "Protocol", removed: true},
		"fewer pixels":           {shows: picture1[:len(picture1)-1], want: ourError + "Protocol", removed: true},
		"too large":              {shows: "sparse " + fmt.Sprint(picture.MaxSize+1), want: ourError + "LimitsExceeded", removed: true},
		"remove-fd refused":      {step: "remove-fd", handler: refuse, removed: true},
		"gone at remove-fd":      {step: "remove-fd", handler: hangUp, removed: true},
		"as usual, to compare":   {shows: picture1, removed: true},
		"fdset of another's own": {step: "add-fd", handler: func(_ *qmptest.QEMU, r *qmptest.Request) { r.Return(`{"fdset-id":77}`) }, want: ourError + "Qmp.GenericError", removed: true},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, nil)
			s := newScreen(m)
			if test.handler != nil {
				m.script(test.step, test.handler)
			}
			if test.shows != "" {
				s.show(test.shows)
			}
			w := serve(t, m)
			_, err := w.as(admin).shoot(none)
			if errorName(err) != test.want {
				t.Errorf("Screenshot = %v, want %q", err, test.want)
			}
			told := m.commands()
			if removed := strings.HasPrefix(told[len(told)-1], "remove-fd "); removed != test.removed {
				t.Errorf("QEMU was told %q", told)
			}
			m.die() // with what the fake has of us
			noMemories(t)
			want := test.want
			if want == "" {
				want = "ok"
			}
			if r := w.records(1); r[0].Action != "screendump" || r[0].Result != want {
				t.Errorf("records %+v", r)
			}
		})
	}
}

// TestScreenshotLeaver has callers leave in each step: what was begun is ended.
func TestScreenshotLeaver(t *testing.T) {
	for _, step := range []string{"add-fd", "screendump", "remove-fd"} {
		m := newMachine(t, nil)
		s := newScreen(m)
		w := serve(t, m)
		leaver, other := w.as(admin), w.as(admin)
		m.hold(step, true)
		leaver.Object(busName, vmPath).Go(screenshot, dbus.Flags(0), make(chan *dbus.Call, 1), none)
		held := m.nextHeld()
		leaver.Close()
		rig.Eventually(t, "it has gone", func() bool { return !other.owned(leaver.unique) })
		m.hold(step, false)
		map[string]qmptest.Handler{"add-fd": s.add, "screendump": s.dump, "remove-fd": s.remove}[step](nil, held)
		w.records(1)
		if got, err := other.shoot(format("ppm")); got != picture1 {
			t.Errorf("the next one's is %q, %v", got, err)
		}
		noMemories(t)
		checkPlaces(t, m, w)
	}
}

// TestScreenshotsInTurn is that one is taken at a time, in the order of the calls, and that all are answered when QEMU
// goes.
func TestScreenshotsInTurn(t *testing.T) {
	m := newMachine(t, nil)
	s := newScreen(m)
	w := serve(t, m)
	a, b := w.as(admin), w.as(admin)
	shoot := func(c *caller, device string, replies chan *dbus.Call) {
		c.Object(busName, vmPath).Go(screenshot, 0, replies, map[string]dbus.Variant{"device": dbus.MakeVariant(device)})
	}
	replies := make(chan *dbus.Call, 4)
	m.hold("screendump", true)
	for i := range 3 {
		shoot(a, strconv.Itoa(i), replies)
	}
	for i := range 3 {
		held := m.nextHeld()
		if want := fmt.Sprintf(`{"filename":"/dev/fdset/3","device":"%d"}`, i); string(held.Arguments) != want {
			t.Errorf("screendump %s, want %s", held.Arguments, want)
		}
		m.noneHeld()
		s.dump(nil, held)
		reply := <-replies
		if reply.Err != nil {
			t.Fatal(reply.Err)
		}
		unix.Close(int(reply.Body[0].(dbus.UnixFD)))
	}
	shoot(a, "3", replies)
	shoot(b, "4", replies)
	m.nextHeld()
	m.die()
	for range 2 {
		if err := (<-replies).Err; errorName(err) != ourError+"Disconnected" {
			t.Errorf("%v, want Disconnected", err)
		}
	}
	noMemories(t)
}

// TestScreenshotsOfPausedGuest is that a QEMU that would not let go of the file has one for all, and that one that
// would has none.
func TestScreenshotsOfPausedGuest(t *testing.T) {
	newer := strings.NewReplacer(`"micro": 22, "minor": 2, "major": 7`, `"micro": 0, "minor": 1, "major": 9`).Replace(qmptest.Greeting)
	for name, test := range map[string]struct {
		greeting string
		adds     int
	}{"before 9.1": {strings.Replace(newer, `"minor": 1`, `"minor": 0`, 1), 1}, "9.1": {newer, 3}} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, map[string]string{"query-status": paused})
			s := newScreen(m)
			m.die()
			m.listen(qmptest.Options{Greeting: test.greeting})
			w := serve(t, m)
			c := w.as(admin)
			for range 3 {
				if got, err := c.shoot(format("ppm")); got != picture1 {
					t.Errorf("%q, %v", got, err)
				}
				if _, err := c.shoot(map[string]dbus.Variant{"device": dbus.MakeVariant(1)}); err == nil {
					t.Error("a device that is a number")
				}
			}
			if n := m.counts()["add-fd"]; n != test.adds {
				t.Errorf("%d files for 3 screenshots, want %d", n, test.adds)
			}
			if test.adds > 1 {
				noMemories(t)
				return
			}
			m.script("screendump", func(_ *qmptest.QEMU, r *qmptest.Request) { r.Fail("GenericError", "why") })
			if _, err := c.shoot(none); errorName(err) != ourError+"Qmp.GenericError" {
				t.Error(err)
			}
			m.script("screendump", s.dump)
			m.answer("query-status", running)
			m.client().Event("RESUME", "")
			rig.Eventually(t, "it runs", func() bool { return get[bool](c, "Running") })
			if got, err := c.shoot(format("ppm")); got != picture1 {
				t.Errorf("%q, %v", got, err)
			}
			if n := m.counts(); n["add-fd"] != 1 || n["remove-fd"] != 1 {
				t.Errorf("%d files, of which %d were removed", n["add-fd"], n["remove-fd"])
			}
			noMemories(t)

			m.answer("query-status", paused)
			m.client().Event("STOP", "")
			rig.Eventually(t, "it is paused", func() bool { return !get[bool](c, "Running") })
			if _, err := c.shoot(none); err != nil {
				t.Error(err)
			}
			m.die() // with a file of ours
			noMemories(t)
		})
	}
}

// TestMaxScreenshots takes screenshots up to the limits and one past them.
func TestMaxScreenshots(t *testing.T) {
	const ofUser, all = 8, 32 // see docs/api.md
	m := newMachine(t, nil)
	newScreen(m)
	w := newWorld(t, m.dial)
	w.cedar = []string{`permit (principal, action == Action::"screendump", resource);`}
	w.join()
	w.run()
	var open []int
	closeAll := func(fds []int) {
		for _, fd := range fds {
			unix.Close(fd)
		}
	}
	for i, user := range []rig.User{viewer, operator, helper, admin, stranger} {
		a, b := w.as(user), w.as(user)
		for n := range ofUser {
			image, err := []*caller{a, b}[n%2].call(vmPath, screenshot, none)
			if i*ofUser+n < all && err == nil {
				open = append(open, int(image.(dbus.UnixFD)))
				continue
			}
			if i*ofUser+n < all || errorName(err) != dbusError+"LimitsExceeded" {
				t.Errorf("user %d, screenshot %d: %v, %v", i, n, image, err)
			}
		}
		if _, err := b.shoot(none); errorName(err) != dbusError+"LimitsExceeded" {
			t.Errorf("one past the limit: %v", err)
		}
	}
	if len(open) != all {
		t.Fatalf("%d are open, want %d", len(open), all)
	}
	closeAll(open[:1])
	if _, err := w.as(viewer).shoot(none); err != nil {
		t.Errorf("after one was closed: %v", err)
	}
	mapped, err := unix.Mmap(open[1], 0, 1, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	closeAll(open[1:])
	rig.Eventually(t, "only the one that is mapped is held", func() bool { return len(memories(t)) == 1 })
	if err := unix.Munmap(mapped); err != nil {
		t.Error(err)
	}
	noMemories(t) // without another call
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
