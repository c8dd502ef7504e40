package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/e2e/rig"
	"qmp-dbus-bridge/qmp/qmptest"
)

// TestHostileQEMU has what a guest that has broken out of QEMU could say, much of it: lines without end, lines
// that are no QMP, answers that nobody asked for, events in masses, descriptors. The bridge ends the
// connection or passes over it, has the memory and the descriptors as before, and nobody may do more than before.
func TestHostileQEMU(t *testing.T) {
	rig.RequireRoot(t)
	fake, b := serveFake(t)
	s := &siege{t: t, bridge: b}
	s.witness = rig.Root.MustDial(t, s.address)
	s.weigh()
	weak := viewer.MustDial(t, s.address)

	for _, attack := range hostileSayings {
		t.Run(attack.name, func(t *testing.T) {
			s.t = t
			s.withstand(attack.size, func(size int) {
				times := 1
				if attack.ends {
					times = size
				}
				for range times {
					q := fake.Client()
					attack.say(t, q, size)
					if attack.ends {
						<-q.Done()
					}
					rig.Eventually(t, "QEMU is connected", func() bool {
						_, err := qmp(s.witness, "query-name", nil)
						return err == nil
					})
				}
			})
			wantError(t, weak.Object(busName, vmPath).Call(busName+".Pause", 0).Err, dbusError+"AccessDenied")
			if name := get[string](t, weak, "Name"); name != "vm7" {
				t.Errorf("Name = %q, want vm7", name)
			}
		})
	}
	s.t = t
	s.unharmed()
}

// serveFake starts the bridge, without race detector, of a QEMU that says what the test wants.
func serveFake(t *testing.T) (*qmptest.Listener, *bridge) {
	t.Helper()
	schema, err := os.ReadFile("../schema/testdata/schemas/qmp-schema-7.2.22-x86_64.json")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(rig.TempDir(t), "qmp")
	answers := map[string]string{
		"query-name": `{"name": "vm7"}`, "query-uuid": `{}`, "query-target": `{"arch": "x86_64"}`,
		"query-status":     `{"status": "running", "running": true}`,
		"query-qmp-schema": strings.ReplaceAll(string(schema), "\n", " "),
	}
	fake := qmptest.ListenAt(t, path, qmptest.Options{}, func(_ *qmptest.QEMU, r *qmptest.Request) {
		if answer, known := answers[r.Name]; known {
			r.Return(answer)
		} else {
			r.Return("{}")
		}
	})
	plain, err := plainProgram()
	if err != nil {
		t.Fatal(err)
	}
	line := append([]string{
		"serve", "--qmp", path, "--bus-dir", filepath.Join(rig.TempDir(t), "bus"), "--audit", "none", "--limit", "reply=1M",
	}, grants...)
	cmd := command(line...)
	cmd.Path = plain
	p := rig.Start(t, cmd)
	p.WaitOutput(t, "bus=")
	return fake, &bridge{p, readyAddress(p.Output())}
}

// hostileSayings are what a QEMU may say, and how much of it.
var hostileSayings = []struct {
	name string
	size int
	say  func(t *testing.T, q *qmptest.QEMU, size int)
	ends bool // the connection
}{
	{"a line without end", 2, func(_ *testing.T, q *qmptest.QEMU, _ int) { q.Send(`{"return": "` + strings.Repeat("x", 2<<20)) }, true},
	{"lists in each other", 2, func(_ *testing.T, q *qmptest.QEMU, _ int) {
		q.Send(`{"return": ` + strings.Repeat("[", 500_000) + "\r\n")
	}, true},
	{"zeros", 2, func(_ *testing.T, q *qmptest.QEMU, _ int) { q.Send(strings.Repeat("\x00", 1000) + "\r\n") }, true},
	{"answers to nothing", 20_000, func(_ *testing.T, q *qmptest.QEMU, size int) {
		for n := range size {
			q.Send(fmt.Sprintf(`{"return": {}, "id": %d}`+"\r\n", n%100))
		}
	}, false},
	{"events", 20_000, func(_ *testing.T, q *qmptest.QEMU, size int) {
		event := `{"timestamp": {"seconds": 1, "microseconds": 1}, "event": "RESET", "data": {"x": "` + strings.Repeat("x", 500) + `"}}` + "\r\n"
		for range size / 20 {
			q.Send(strings.Repeat(event, 20))
		}
	}, false},
	{"events that are not known", 20_000, func(_ *testing.T, q *qmptest.QEMU, size int) {
		for n := range size {
			q.Event(fmt.Sprint("EVENT_", n), "")
		}
	}, false},
	{"descriptors", 500, func(t *testing.T, q *qmptest.QEMU, size int) {
		for range size {
			fd, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
			if err != nil {
				t.Error(err)
			}
			q.SendFDs(`{"timestamp": {"seconds": 1, "microseconds": 1}, "event": "RESUME"}`+"\r\n", fd)
		}
	}, false},
}
