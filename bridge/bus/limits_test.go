package bus_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/bridge/bus"
	"qmp-dbus-bridge/e2e/rig"
)

const limitsExceeded = "org.freedesktop.DBus.Error.LimitsExceeded"

// failsWith reports whether err is the D-Bus error of that name.
func failsWith(err error, name string) bool {
	var e dbus.Error
	return errors.As(err, &e) && e.Name == name
}

func TestConnectionsPerUser(t *testing.T) {
	d := start(t, private)
	for i := range 256 {
		if _, err := dialFor(t, d); err != nil {
			t.Fatalf("connection %d: %v", i+1, err)
		}
	}
	if _, err := dialFor(t, d); err == nil {
		t.Error("a 257th connection of one uid may connect")
	}
}

// dialFor connects as ourselves; the connection ends with the test.
func dialFor(t *testing.T, d *bus.Daemon) (*dbus.Conn, error) {
	conn, err := rig.Self().Dial(d.Address())
	if err == nil {
		t.Cleanup(func() { conn.Close() })
	}
	return conn, err
}

func TestMatchRules(t *testing.T) {
	conn := rig.Self().MustDial(t, start(t, private).Address())
	for i := range 512 {
		if err := addMatch(conn, i); err != nil {
			t.Fatalf("match rule %d: %v", i+1, err)
		}
	}
	if err := addMatch(conn, 512); !failsWith(err, limitsExceeded) {
		t.Errorf("match rule 513: %v, want %s", err, limitsExceeded)
	}
}

func addMatch(conn *dbus.Conn, i int) error {
	return conn.BusObject().Call(driver+".AddMatch", 0, fmt.Sprintf("type='signal',member='M%d'", i)).Err
}

// silent answers no call until it is released.
type silent struct{ released chan struct{} }

// Wait returns when the test lets it.
func (s silent) Wait() *dbus.Error { <-s.released; return nil }

func TestRepliesAwaited(t *testing.T) {
	address := start(t, private).Address()
	service := serve(t, rig.Self(), address, bus.DefaultBusName)
	released := make(chan struct{})
	if err := service.Export(silent{released}, objectPath, "org.qemu.VM1.Silent"); err != nil {
		t.Fatal(err)
	}
	conn := rig.Self().MustDial(t, address)
	done := make(chan *dbus.Call, 1025)
	object := conn.Object(bus.DefaultBusName, objectPath)
	for range 1024 {
		object.Go("org.qemu.VM1.Silent.Wait", 0, done)
	}
	if err := object.Call(vmIface+".Echo", 0, "x").Err; !failsWith(err, limitsExceeded) {
		t.Errorf("call 1025: %v, want %s", err, limitsExceeded)
	}
	close(released)
	for range 1024 {
		if err := (<-done).Err; err != nil {
			t.Fatalf("a call within the limit: %v", err)
		}
	}
}

// TestMessageSize: as large as the bridge sends, and calls a little larger than it takes, so that it
// can answer; who sends more is disconnected.
func TestMessageSize(t *testing.T) {
	address := start(t, private).Address()
	serve(t, rig.Self(), address, bus.DefaultBusName)
	const most, header = 4<<20 + 64<<10, 256 // of most, header is left for what is not the text
	for _, size := range []int{4 << 20, most - header} {
		text := strings.Repeat("x", size)
		var got string
		err := rig.Self().MustDial(t, address).Object(bus.DefaultBusName, objectPath).Call(vmIface+".Echo", 0, text).Store(&got)
		if err != nil || len(got) != size {
			t.Errorf("a message of %d bytes: got %d, %v", size, len(got), err)
		}
	}
	conn := rig.Self().MustDial(t, address)
	if err := conn.Object(bus.DefaultBusName, objectPath).Call(vmIface+".Echo", 0, strings.Repeat("x", most)).Err; err == nil {
		t.Errorf("a message of more than %d bytes is delivered", most)
	}
	rig.Eventually(t, "who sends more is disconnected", func() bool { return !conn.Connected() })
}

// TestMemoryIsBounded has one user hold as many half-sent messages as fill all memory that dbus-daemon
// may have: it holds no more, others are served as before, and all is given back.
func TestMemoryIsBounded(t *testing.T) {
	const limit, slack = 512 << 20, 16 << 20 // slack is its code, stack and what it had
	d := start(t, private)
	serve(t, rig.Self(), d.Address(), bus.DefaultBusName)
	before := rig.RSS(t, d.PID())
	stop := halfSend(t, d.Address(), 160, 4<<20)
	most := 0
	rig.Eventually(t, "dbus-daemon's memory is full", func() bool {
		most = max(most, rig.RSS(t, d.PID()))
		return most > limit*7/8
	})
	client := rig.Self().MustDial(t, d.Address())
	for range 100 {
		if err := client.Object(bus.DefaultBusName, objectPath).Call(vmIface+".Echo", 0, "x").Err; err != nil {
			t.Fatalf("a call while the memory is full: %v", err)
		}
	}
	most = max(most, rig.RSS(t, d.PID()))
	stop()
	if most > limit+slack {
		t.Errorf("dbus-daemon has %d MiB, want %d at most", most>>20, (limit+slack)>>20)
	}
	after := 0
	rig.Eventually(t, "dbus-daemon gives its memory back", func() bool {
		after = rig.RSS(t, d.PID())
		return after < before+slack
	})
	t.Logf("%d MiB before, %d while half-sent messages fill it, %d after", before>>20, most>>20, after>>20)
}

// halfSend makes connections that each send half a call of the size, as far as the bus takes it.
func halfSend(t *testing.T, address string, connections, size int) (stop func()) {
	t.Helper()
	var msg bytes.Buffer
	call := &dbus.Message{
		Type: dbus.TypeMethodCall,
		Headers: map[dbus.HeaderField]dbus.Variant{
			dbus.FieldPath: dbus.MakeVariant(objectPath), dbus.FieldMember: dbus.MakeVariant("Echo"),
			dbus.FieldInterface: dbus.MakeVariant(vmIface), dbus.FieldDestination: dbus.MakeVariant(bus.DefaultBusName),
			dbus.FieldSignature: dbus.MakeVariant(dbus.SignatureOf("")),
		},
		Body: []any{strings.Repeat("x", size-512)},
	}
	mustDo(t, call.EncodeTo(&msg, binary.LittleEndian))
	binary.LittleEndian.PutUint32(msg.Bytes()[8:], 2) // its serial
	var all sync.WaitGroup
	var conns []net.Conn
	for range connections {
		conn := rawDial(t, address)
		conns = append(conns, conn)
		all.Go(func() { _, _ = conn.Write(msg.Bytes()[:msg.Len()-64]) }) // until the bus takes no more, or stop
	}
	return func() {
		for _, conn := range conns {
			conn.Close()
		}
		all.Wait()
	}
}

// rawDial connects and says Hello, and leaves the rest to the test.
func rawDial(t *testing.T, address string) net.Conn {
	t.Helper()
	conn, err := net.Dial("unix", strings.TrimPrefix(address, "unix:path="))
	mustDo(t, err)
	hello := &dbus.Message{Type: dbus.TypeMethodCall, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldPath: dbus.MakeVariant(dbus.ObjectPath("/org/freedesktop/DBus")), dbus.FieldMember: dbus.MakeVariant("Hello"),
		dbus.FieldInterface: dbus.MakeVariant(driver), dbus.FieldDestination: dbus.MakeVariant(driver),
	}}
	out := bytes.NewBufferString("\x00AUTH EXTERNAL " + hex.EncodeToString([]byte(strconv.Itoa(os.Geteuid()))) + "\r\nBEGIN\r\n")
	start := out.Len()
	mustDo(t, hello.EncodeTo(out, binary.LittleEndian))
	binary.LittleEndian.PutUint32(out.Bytes()[start+8:], 1)
	_, err = conn.Write(out.Bytes())
	mustDo(t, err)
	return conn
}

// TestSlowReader: one that doesn't read loses what is over its 4 MiB, and nobody
// else loses anything or waits.
func TestSlowReader(t *testing.T) {
	rig.Require(t, "gdbus")
	address := start(t, private).Address()
	service := serve(t, rig.Self(), address, bus.DefaultBusName)
	_, signals := listen(t, rig.Self(), address)
	slow := rig.Start(t, exec.Command("gdbus", "monitor", "-a", address, "-d", bus.DefaultBusName))
	rig.Eventually(t, "gdbus monitor subscribes", func() bool {
		emit(t, service, "", "org.qemu.VM1.First")
		return strings.Contains(slow.Output(), "First")
	})
	slow.Signal(t, unix.SIGSTOP)
	defer slow.Signal(t, unix.SIGKILL)

	blob := strings.Repeat("x", 256<<10)
	for range 128 {
		if err := service.Emit(objectPath, "org.qemu.VM1.Blob", blob); err != nil {
			t.Fatal(err)
		}
	}
	for blobs := 0; blobs < 128; {
		if strings.HasSuffix(next(t, signals).Name, ".Blob") {
			blobs++
		}
	}
}

// counter answers every call with how many descriptors came. It is a handler of
// godbus's at the lowest level, since that panics on an array of descriptors and its
// methods have a fixed number of arguments.
type counter struct{}

func (c counter) LookupObject(dbus.ObjectPath) (dbus.ServerObject, bool) { return c, true }

func (c counter) LookupInterface(string) (dbus.Interface, bool) { return c, true }

func (c counter) LookupMethod(string) (dbus.Method, bool) { return c, true }

func (counter) DecodeArguments(_ *dbus.Conn, _ string, _ *dbus.Message, args []any) ([]any, error) {
	return args, nil
}

func (counter) Call(args ...any) ([]any, error) {
	for _, fd := range args {
		_ = os.NewFile(uintptr(fd.(dbus.UnixFD)), "").Close()
	}
	return []any{int32(len(args))}, nil
}

func (counter) NumArguments() int     { return 0 }
func (counter) NumReturns() int       { return 1 }
func (counter) ArgumentValue(int) any { return nil }
func (counter) ReturnValue(int) any   { return int32(0) }

// TestDescriptors: 17, one more than the bridge takes, reach it, so that it can
// answer; dbus-daemon disconnects for 33.
func TestDescriptors(t *testing.T) {
	address := start(t, private).Address()
	service := rig.Self().MustDial(t, address, dbus.WithHandler(counter{}))
	if _, err := service.RequestName(bus.DefaultBusName, dbus.NameFlagDoNotQueue); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{16, 17, 32} {
		if got, err := count(t, address, n); err != nil || got != n {
			t.Errorf("%d descriptors: %d came, %v", n, got, err)
		}
	}
	if got, err := count(t, address, 33); err == nil {
		t.Errorf("33 descriptors: %d came", got)
	}
}

func count(t *testing.T, address string, n int) (int, error) {
	t.Helper()
	null, err := os.Open(os.DevNull)
	mustDo(t, err)
	defer null.Close()
	fds := make([]any, n)
	for i := range fds {
		fds[i] = dbus.UnixFD(null.Fd())
	}
	var got int32
	err = rig.Self().MustDial(t, address).Object(bus.DefaultBusName, objectPath).
		Call("org.qemu.VM1.Counter.Count", 0, fds...).Store(&got)
	return int(got), err
}
