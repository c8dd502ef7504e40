package e2e_test

import (
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"

	"qmp-dbus-bridge/e2e/rig"
)

// interlude is what happens in the middle of a test case, while a call is in flight: nothing, or that the bridge is cut off QEMU.
type interlude func(testing.TB, flight)

// flight is a call and the command that it is.
type flight struct {
	command string
	path    dbus.ObjectPath
	method  string
	args    []any
}

// asking is a call that changes nothing.
var asking = flight{command: "query-version", path: qmpPath, method: qmpIf + ".QueryVersion"}

// screenshooting takes a screenshot.
var screenshooting = flight{command: "screendump", path: vmPath, method: busName + ".Screenshot", args: []any{options()}}

// nothing is the interlude of a case that is not interrupted.
func nothing(testing.TB, flight) {}

// line is a bridge's to QEMU, which can be cut.
type line struct {
	*rig.Cable
	*bridge
}

// serveByLine is serveQEMU with a line that can be cut.
func serveByLine(t testing.TB, vm *rig.QEMU, flags ...string) line {
	t.Helper()
	cable := rig.Relay(t, vm.Monitors[0])
	return line{cable, serveQEMU(t, &rig.QEMU{Monitors: []string{cable.Path}}, flags...)}
}

// nothing does not interrupt it.
func (line) nothing(t testing.TB, f flight) { nothing(t, f) }

// bothWays runs a case as it is, and once more interrupted.
func (l line) bothWays(t *testing.T, name string, test func(*testing.T, interlude)) {
	t.Run(name, func(t *testing.T) { test(t, nothing) })
	t.Run(name+" interrupted", func(t *testing.T) { test(t, l.interrupt) })
}

// interrupt cuts the line when QEMU has executed the call in flight, which ends with that, and waits until the bridge has reached
// QEMU again: then all is as it was, each object has been told of once, and calls work.
func (l line) interrupt(t testing.TB, call flight) {
	t.Helper()
	conn := rig.Self().MustDial(t, l.address)
	settle(t, conn)
	before := shown(t, conn)
	signals := watch(t, conn, dbus.WithMatchPathNamespace(vmPath))
	pending := make(chan *dbus.Call, 1)
	l.CutAt(t, call.command, func() { conn.Object(busName, call.path).Go(call.method, 0, pending, call.args...) })
	select {
	case ended := <-pending:
		if got, want := errorName(ended.Err), "org.qemu.VM1.Error.Disconnected"; got != want {
			t.Errorf("%s in flight ended with %v, want %s", call.method, ended.Err, want)
		}
	case <-time.After(rig.Timeout):
		t.Fatalf("%s in flight has not ended within %v", call.method, rig.Timeout)
	}
	told := toldOnce(t, signals)
	for path := range objects(t, conn) {
		if !told[path] {
			t.Errorf("%s is there, and nobody was told", path)
		}
		delete(told, path)
	}
	if len(told) > 0 {
		t.Errorf("%v are not there", told)
	}
	if _, err := qmp(conn, "query-version", nil); err != nil {
		t.Errorf("after the reconnect: %v", err)
	}
	if diff := cmp.Diff(before.lasting(), shown(t, conn).lasting()); diff != "" {
		t.Errorf("after the reconnect (-before +now):\n%s", diff)
	}
}

// settle returns when the objects show what has happened until now. The command changes nothing.
func settle(t testing.TB, conn *dbus.Conn) {
	t.Helper()
	method := ".Pause"
	if get[bool](t, conn, "Running") || get[string](t, conn, "Status") == "inmigrate" { // in which Pause would matter later
		method = ".Resume"
	}
	if err := conn.Object(busName, vmPath).Call(busName+method, 0).Err; err != nil {
		t.Fatal(err)
	}
}

// toldOnce is which objects signals tell of, from when the bridge has lost QEMU to when it is back, each once.
func toldOnce(t testing.TB, signals <-chan *dbus.Signal) map[string]bool {
	t.Helper()
	patience := time.After(rig.Timeout)
	told, lost := map[string]bool{}, false
	for {
		select {
		case s := <-signals:
			switch {
			case s.Name == propsIf+".PropertiesChanged" && s.Path == vmPath:
				connected, is := s.Body[1].(map[string]dbus.Variant)["Connected"].Value().(bool)
				lost = lost || is && !connected
				if is && connected && lost {
					return told
				}
			case s.Name == objectManager+".InterfacesAdded" && lost:
				path := strings.TrimPrefix(string(s.Body[0].(dbus.ObjectPath)), string(vmPath)+"/")
				if told[path] {
					t.Errorf("%s was told of twice", path)
				}
				told[path] = true
			}
		case <-patience:
			t.Fatalf("the bridge has not reached QEMU again within %v", rig.Timeout)
		}
	}
}

// lasting is what a short time changes nothing of: not how far something is.
func (s snapshot) lasting() map[string]string {
	summary := s.summary()
	delete(summary, "VM")
	if s[string(migrationPath)] != nil {
		summary["/migration"] = "" // it is there
	}
	return summary
}
