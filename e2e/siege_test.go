package e2e_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"qmp-dbus-bridge/e2e/rig"
)

// Who has which role in the attacks. The bus lets nobody else connect, but root.
var (
	viewer, operator, helper, admin = rig.Alice, rig.Bob, rig.News, rig.Carol

	grants = []string{"--grant", "viewer=uid:1", "--grant", "operator=uid:2", "--grant", "helper=uid:9", "--grant", "admin=uid:5"}
)

const (
	// leftMargin is what an attack may leave behind in memory when it comes again, in bytes:
	// Go's smallest heap, since it is the collector's timing how much of that is in use.
	leftMargin = 4 << 20
	// peakMargin is what it may take meanwhile: what one sender may have waiting, 8 MiB, twice,
	// since Go's collector lets a heap double, and 8 MiB that the program itself
	// has in memory when all of it is used.
	peakMargin = 24 << 20
	// maxLogLines is what the log may grow by in an attack: dbus-daemon's 60 lines a minute in two of
	// them, which is all that callers can make it say, and some of the bridge's own.
	maxLogLines = 2*60 + 20
	// warmUps of introspect bring the heap to where the collector keeps it.
	warmUps = 100
)

// plainProgram is the bridge as it is shipped: the race detector's memory is not the bridge's.
var plainProgram = sync.OnceValues(func() (string, error) {
	path := program + "-plain"
	out, err := exec.Command("go", "build", "-o", path, "qmp-dbus-bridge/cmd/qmp-dbus-bridge").CombinedOutput()
	if err != nil {
		os.Stderr.Write(out)
	}
	return path, err
})

// siege is a bridge under attack, on a bus with the configuration that the bridge has made, with a
// QEMU that logs every command that reaches it.
type siege struct {
	*bridge
	t       testing.TB
	on      string // the name of the bus's program
	vm      *rig.QEMU
	trace   string
	audit   string
	witness *dbus.Conn // an administrator who does nothing wrong
	seen    int        // bytes of the trace
	fds     int        // before the attack
	rss     int        // bytes, before it
}

// besiege runs a test on either bus.
func besiege(t *testing.T, test func(t *testing.T, s *siege)) {
	besiegeWith(t, func(testing.TB, string) []string { return nil }, test)
}

// besiegeWith is besiege with more flags for the bridge, whose files may be in dir.
func besiegeWith(t *testing.T, flags func(t testing.TB, dir string) []string, test func(t *testing.T, s *siege)) {
	rig.RequireRoot(t)
	for name, bus := range ownBuses {
		t.Run(name, func(t *testing.T) {
			dir := rig.TempDir(t)
			s := &siege{t: t, on: name, trace: dir + "/trace", audit: dir + "/audit"}
			s.vm = rig.StartQEMU(t, rig.QEMU{Count: 2, Args: []string{
				"-D", s.trace, "-trace", "handle_qmp_command", "-chardev", "ringbuf,id=ring,size=65536",
				"-blockdev", "null-co,node-name=n0,size=1048576", "-blockdev", "null-co,node-name=n1,size=1048576",
				"-device", "virtio-balloon-pci,id=balloon0", "-device", "virtio-rng-pci,id=other0",
			}})
			path, err := plainProgram()
			if err != nil {
				t.Fatal(err)
			}
			p := rig.Start(t, exec.Command(path, append(append(
				[]string{"serve", "--qmp", s.vm.Monitors[0], "--audit", s.audit}, append(grants, flags(t, dir)...)...), bus(t, s.vm)...)...))
			p.WaitOutput(t, "bus=")
			s.bridge = &bridge{p, readyAddress(p.Output())}
			s.witness = rig.Root.MustDial(t, s.address)
			s.weigh()
			s.executed()
			test(t, s)
			s.unharmed()
		})
	}
}

// ownBuses are the buses with the configuration that the bridge makes for its grants, as the
// flags that it gets.
var ownBuses = map[string]func(testing.TB, *rig.QEMU) []string{
	"dbus-daemon": func(t testing.TB, _ *rig.QEMU) []string {
		return []string{"--bus-dir", filepath.Join(rig.TempDir(t), "bus")}
	},
	"dbus-broker": func(t testing.TB, vm *rig.QEMU) []string {
		return []string{"--bus", rig.StartBroker(t, ownConfig(t, vm)).Address}
	},
}

// ownConfig is the configuration that a bridge makes for the grants.
func ownConfig(t testing.TB, vm *rig.QEMU) string {
	t.Helper()
	dir := filepath.Join(rig.TempDir(t), "bus")
	p := rig.Start(t, exec.Command(program, append([]string{"serve", "--qmp", vm.Monitors[0], "--bus-dir", dir}, grants...)...))
	p.WaitOutput(t, "bus=")
	config, err := os.ReadFile(filepath.Join(dir, "bus.conf"))
	if err != nil {
		t.Fatal(err)
	}
	p.Stop()
	return string(config)
}

// weigh notes what the bridge has before an attack.
func (s *siege) weigh() {
	s.t.Helper()
	s.warmUp()
	s.fds, s.rss = len(rig.FDs(s.t, s.PID())), rig.RSS(s.t, s.PID())
}

// warmUp brings the bridge's memory to where it stays.
func (s *siege) warmUp() {
	s.t.Helper()
	for range warmUps {
		s.introspect()
	}
}

// introspect is a call that takes some 200 KiB of the bridge's memory for a moment.
func (s *siege) introspect() {
	s.t.Helper()
	if err := s.witness.Object(busName, qmpPath).Call("org.freedesktop.DBus.Introspectable.Introspect", 0).Err; err != nil {
		s.t.Fatalf("Introspect: %v\n%s", err, s.Output())
	}
}

// withstand has an attack of a tenth of the size and then of all of it: the bridge's descriptors
// are as before, and its memory comes back to what it was in between.
func (s *siege) withstand(size int, attack func(size int)) {
	s.t.Helper()
	attack((size + 9) / 10)
	s.sameDescriptors()
	s.warmUp()
	before := max(s.rss, rig.RSS(s.t, s.PID())) // once, a second after its start, the bridge gives back all that it can
	rig.ResetPeak(s.t, s.PID())
	attack(size)
	peak := rig.Peak(s.t, s.PID())
	s.sameDescriptors()
	after := s.comesBackTo(before + leftMargin)
	s.t.Logf("memory: %.1f MiB, then %.1f, %.1f at most", mib(before), mib(after), mib(peak))
	if after > before+leftMargin {
		s.t.Errorf("memory grew from %.1f to %.1f MiB, %.1f is the most", mib(before), mib(after), mib(before+leftMargin))
	}
	if peak > before+peakMargin {
		s.t.Errorf("memory rose from %.1f to %.1f MiB, %.1f is the most", mib(before), mib(peak), mib(before+peakMargin))
	}
}

// comesBackTo makes calls until the bridge's memory is this at most, for some time, and returns what it is. Go gives back
// what is free in the background; what is held stays.
func (s *siege) comesBackTo(most int) (rss int) {
	s.t.Helper()
	for deadline := time.Now().Add(rig.Timeout); time.Now().Before(deadline); {
		s.introspect()
		if rss = rig.RSS(s.t, s.PID()); rss <= most {
			break
		}
	}
	return rss
}

// bus is the id of the process that carries the messages: a child of the bridge, or of what the test has started.
func (s *siege) bus() int {
	s.t.Helper()
	for parents := []int{os.Getpid()}; len(parents) > 0; {
		var children []int
		for _, pid := range parents {
			children = append(children, rig.Children(s.t, pid)...)
		}
		for _, pid := range children {
			if name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); err == nil && string(name) == s.on+"\n" {
				return pid
			}
		}
		parents = children
	}
	s.t.Fatalf("there is no %s", s.on)
	return 0
}

func mib(bytes int) float64 { return float64(bytes) / (1 << 20) }

// sameDescriptors waits until the bridge has no more descriptors than before the attack.
func (s *siege) sameDescriptors() {
	s.t.Helper()
	rig.Eventually(s.t, "descriptors are as before", func() bool { return len(rig.FDs(s.t, s.PID())) == s.fds })
}

// unharmed checks that the bridge serves, has the descriptors that it had, and has not let itself be made to fill
// the log.
func (s *siege) unharmed() {
	s.t.Helper()
	if status := get[string](s.t, s.witness, "Status"); status != "running" {
		s.t.Errorf("Status = %q after the attack, want running", status)
	}
	s.sameDescriptors()
	if strings.Contains(s.Output(), "panic:") {
		s.t.Errorf("the bridge said:\n%s", s.Output())
	}
	if n := strings.Count(s.Output(), "\n"); n > maxLogLines {
		s.t.Errorf("the bridge logged %d lines, %d are the most", n, maxLogLines)
	}
}

var request = regexp.MustCompile(`(?m)^.*handle_qmp_command .* req: (\{.*\})$`)

// harmless is what the bridge asks QEMU of its own, and the tests for a measure.
var harmless = map[string]bool{
	"qmp_capabilities": true, "query-status": true, "query-name": true, "query-uuid": true, "query-target": true, "query-qmp-schema": true,
	"query-block": true, // after what may have changed the drives, as a reset
}

// executed is what has reached QEMU since the last time that was asked, but what is harmless:
// the requests by QEMU's own log.
func (s *siege) executed() []string {
	s.t.Helper()
	text, err := os.ReadFile(s.trace)
	if err != nil {
		s.t.Fatal(err)
	}
	text = text[:bytes.LastIndexByte(text, '\n')+1] // QEMU may be writing the next line
	var list []string
	for _, match := range request.FindAllStringSubmatch(string(text[s.seen:]), -1) {
		var r struct {
			Execute   string          `json:"execute"`
			OOB       string          `json:"exec-oob"`
			Arguments json.RawMessage `json:"arguments"`
		}
		if err := json.Unmarshal([]byte(match[1]), &r); err != nil {
			s.t.Fatalf("QEMU's log: %v: %s", err, match[1])
		}
		if !harmless[r.Execute] {
			list = append(list, strings.TrimSpace(r.Execute+r.OOB+" "+string(r.Arguments)))
		}
	}
	s.seen = len(text)
	return list
}

// nothingExecuted checks that nothing but what is harmless has reached QEMU.
func (s *siege) nothingExecuted() {
	s.t.Helper()
	if list := s.executed(); len(list) > 0 {
		s.t.Errorf("QEMU was told %.500q, want nothing", list)
	}
}

// as is a raw client of the bus.
func (s *siege) as(u rig.User) *rig.Raw {
	s.t.Helper()
	return rig.DialRaw(s.t, u, s.address)
}

// toBridge is a call of the bridge.
func toBridge(path dbus.ObjectPath, iface, member string, args ...any) dbus.Message {
	return rig.CallMessage(busName, path, iface, member, args...)
}

// ask sends a call and returns the name of the error that it is answered with, "" for a result.
func ask(t testing.TB, r *rig.Raw, m dbus.Message) string {
	t.Helper()
	r.Send(t, m)
	name, _ := r.Reply(t).Headers[dbus.FieldErrorName].Value().(string)
	return name
}

// settled returns when the bridge has answered everything that r sent before: false if the bus has ended
// the connection.
func (s *siege) settled(r *rig.Raw) bool {
	s.t.Helper()
	for deadline := time.Now().Add(rig.Timeout); time.Now().Before(deadline); {
		call := r.Encode(s.t, toBridge(vmPath, propsIf, "Get", busName, "Status"))
		_, writeErr := r.Write(call)
		reply, err := replyTo(r, r.Order.Uint32(call[8:]))
		switch {
		case writeErr != nil || err != nil:
			s.t.Logf("the bus has ended a connection: %v", cmp.Or(writeErr, err))
			return false
		case reply.Headers[dbus.FieldErrorName].Value() != dbusError+"LimitsExceeded":
			return true
		}
	}
	s.t.Fatalf("not settled within %v", rig.Timeout)
	return false
}

// replyTo reads up to the reply to a serial.
func replyTo(r *rig.Raw, serial uint32) (*dbus.Message, error) {
	if err := r.SetReadDeadline(time.Now().Add(rig.Timeout)); err != nil {
		return nil, err
	}
	for {
		m, err := dbus.DecodeMessage(r.In)
		if err != nil || m.Headers[dbus.FieldReplySerial].Value() == serial {
			return m, err
		}
	}
}
