package e2e_test

import (
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"qmp-dbus-bridge/e2e/rig"
)

// TestEventStorm has another monitor stop and continue the VM 5000 times each as fast as QEMU
// can: of the 10 000 events each comes as a signal or is counted in one that tells of the loss.
func TestEventStorm(t *testing.T) { onBothBuses(t, testEventStorm) }

func testEventStorm(t *testing.T, flags []string) {
	vm := rig.StartQEMU(t, rig.QEMU{Count: 2})
	b := serveQEMU(t, vm, append(flags, "--audit", "none")...)
	conn := rig.Self().MustDial(t, b.address)
	signals := watch(t, conn, dbus.WithMatchInterface(eventsIf))

	const pairs = 5000
	monitor := rig.DialMonitor(t, vm.Monitors[1])
	go func() {
		for range pairs {
			monitor.Send(`{"execute":"stop"}`)
			monitor.Send(`{"execute":"cont"}`)
		}
	}()
	counts := map[string]uint64{}
	patience := time.After(rig.Timeout)
	for counts[".Stop"]+counts[".Resume"]+counts[".Lost"] < 2*pairs {
		select {
		case s := <-signals:
			member := s.Name[len(eventsIf):]
			if member == ".Lost" {
				counts[member] += s.Body[0].(uint64)
			} else {
				counts[member]++
			}
		case <-patience:
			t.Fatalf("after %v only %v of %d events", rig.Timeout, counts, 2*pairs)
		}
	}
	t.Logf("%d events: %v", 2*pairs, counts)
	rig.Eventually(t, "the properties show the last state", func() bool {
		return get[bool](t, conn, "Running") && get[string](t, conn, "Status") == "running"
	})
}

// TestStateFollowsEvents changes the VM by another monitor: the properties follow, and one
// PropertiesChanged tells both.
func TestStateFollowsEvents(t *testing.T) { onBothBuses(t, testStateFollowsEvents) }

func testStateFollowsEvents(t *testing.T, flags []string) {
	vm := rig.StartQEMU(t, rig.QEMU{Count: 2})
	conn := rig.Self().MustDial(t, serveQEMU(t, vm, flags...).address)
	signals := watch(t, conn, dbus.WithMatchInterface(propsIf), dbus.WithMatchObjectPath(vmPath))
	monitor := rig.DialMonitor(t, vm.Monitors[1])
	monitor.Send(`{"execute":"stop"}`)
	changed := next(t, signals).Body[1].(map[string]dbus.Variant)
	if len(changed) != 2 || changed["Status"].Value() != "paused" || changed["Running"].Value() != false {
		t.Errorf("PropertiesChanged tells %v, want Status paused and Running false", changed)
	}
	if get[bool](t, conn, "Running") {
		t.Error("Running = true, want false")
	}
}

// TestSensitiveEvents has an event that not everybody may see, the end of a backup, go to its
// subscriber only.
func TestSensitiveEvents(t *testing.T) {
	rig.RequireRoot(t)
	vm := rig.StartQEMU(t, rig.QEMU{Count: 2, Args: []string{
		"-blockdev", "null-co,node-name=from,size=65536", "-blockdev", "null-co,node-name=to,size=65536",
	}})
	b := serveQEMU(t, vm, "--grant", "viewer=uid:1")
	admin, viewer := rig.Root.MustDial(t, b.address), rig.Alice.MustDial(t, b.address)
	const event = "BLOCK_JOB_COMPLETED"
	err := viewer.Object(busName, vmPath).Call("org.qemu.VM1.Subscribe", 0, []string{event}).Err
	if got, want := errorName(err), dbusError+"AccessDenied"; got != want {
		t.Errorf("a viewer's Subscribe(%s): %s, want %s", event, got, want)
	}
	if err := admin.Object(busName, vmPath).Call("org.qemu.VM1.Subscribe", 0, []string{event}).Err; err != nil {
		t.Fatal(err)
	}
	seen, hidden := watch(t, admin, dbus.WithMatchInterface(eventsIf)), watch(t, viewer, dbus.WithMatchInterface(eventsIf))
	monitor := rig.DialMonitor(t, vm.Monitors[1])
	monitor.Send(`{"execute":"blockdev-backup","arguments":{"job-id":"j","device":"from","target":"to","sync":"full"}}`)
	waitSignal(t, seen, "BlockJobCompleted")
	monitor.Send(`{"execute":"system_reset"}`) // comes to all, and after it on each connection
	if !waitSignal(t, hidden, "Reset")["BlockJobCompleted"] {
		return
	}
	t.Errorf("a viewer received %s", event)
}

// waitSignal waits for a signal of an event and returns the members that came before it.
func waitSignal(t testing.TB, signals <-chan *dbus.Signal, member string) map[string]bool {
	t.Helper()
	before := map[string]bool{}
	patience := time.After(rig.Timeout)
	for {
		select {
		case s := <-signals:
			if s.Name == eventsIf+"."+member {
				return before
			}
			before[s.Name[len(eventsIf)+1:]] = true
		case <-patience:
			t.Fatalf("no signal %s within %v, but %v", member, rig.Timeout, before)
		}
	}
}

// next waits for one signal.
func next(t testing.TB, signals <-chan *dbus.Signal) *dbus.Signal {
	t.Helper()
	select {
	case s := <-signals:
		return s
	case <-time.After(rig.Timeout):
		t.Fatalf("no signal within %v", rig.Timeout)
		return nil
	}
}

// watch returns the signals of the bridge that match.
func watch(t testing.TB, conn *dbus.Conn, match ...dbus.MatchOption) <-chan *dbus.Signal {
	t.Helper()
	if err := conn.AddMatchSignal(append(match, dbus.WithMatchSender(busName))...); err != nil {
		t.Fatal(err)
	}
	signals := make(chan *dbus.Signal, 20000)
	conn.Signal(signals)
	return signals
}
