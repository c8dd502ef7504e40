package bridge_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/bridge/picture"
	"qmp-dbus-bridge/e2e/rig"
	"qmp-dbus-bridge/qmp/qmptest"
)

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
		"add-fd refused":       {step: "add-fd", handler: refuse, want: qmpError},
		"gone at add-fd":       {step: "add-fd", handler: hangUp, want: ourError + "Disconnected"},
		"screendump refused":   {step: "screendump", handler: refuse, want: qmpError, removed: true},
		"gone at screendump":   {step: "screendump", handler: hangUp, want: ourError + "Disconnected"},
		"nothing written":      {step: "screendump", handler: func(_ *qmptest.QEMU, r *qmptest.Request) { r.Return("{}") }, want: ourError + "Protocol", removed: true},
		"no picture":           {shows: "no picture", want: ourError + "Protocol", removed: true},
		"fewer pixels":         {shows: picture1[:len(picture1)-1], want: ourError + "Protocol", removed: true},
		"too large":            {shows: "sparse " + fmt.Sprint(picture.MaxSize+1), want: ourError + "LimitsExceeded", removed: true},
		"remove-fd refused":    {step: "remove-fd", handler: refuse, removed: true},
		"gone at remove-fd":    {step: "remove-fd", handler: hangUp, removed: true},
		"as usual, to compare": {shows: picture1, removed: true},
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

// TestScreenshotCutOff has the connection end in each step, with a QEMU that keeps the file, as one does from 9.1 on: when it is
// reached again it is told to let go of it, and of nobody else's.
func TestScreenshotCutOff(t *testing.T) {
	for _, step := range []string{"add-fd", "screendump", "remove-fd"} {
		m := newMachine(t, nil)
		s := newScreen(m)
		c := serve(t, m).as(admin)
		if got, err := c.shoot(format("ppm")); got != picture1 {
			t.Fatalf("%q, %v", got, err)
		}
		other, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		s.mu.Lock()
		s.sets[1<<30], s.named[1<<30] = other, "bridge:of another"
		s.mu.Unlock()
		usual := map[string]qmptest.Handler{"add-fd": s.add, "screendump": s.dump, "remove-fd": s.remove}[step]
		m.script(step, func(q *qmptest.QEMU, r *qmptest.Request) {
			m.script(step, usual)
			if step == "add-fd" {
				s.add(q, r)
			}
			q.Hangup()
		})
		if _, err := c.shoot(none); step != "remove-fd" && errorName(err) != ourError+"Disconnected" {
			t.Errorf("%s: %v, want Disconnected", step, err)
		}
		rig.Eventually(t, "QEMU has the other's alone", func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return len(s.sets) == 1 && s.sets[1<<30] == other
		})
		m.commands()
		if got, err := c.shoot(format("ppm")); got != picture1 {
			t.Errorf("%s: the next one's is %q, %v", step, got, err)
		}
		m.wantPassed(step, addFD, `screendump {"filename":"/dev/fdset/SET"}`, removeFD)
		other.Close()
		m.die()
		noMemories(t)
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
		want := fmt.Sprintf(`screendump {"filename":"/dev/fdset/SET","device":"%d"}`, i)
		if diff := cmp.Diff(passed([]string{want}), passed([]string{line(held.Name, held.Arguments)})); diff != "" {
			t.Errorf("QEMU was told (-want +got):\n%s", diff)
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
