package bus_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

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
	text := strings.Repeat("x", most-header)
	var got string
	err := rig.Self().MustDial(t, address).Object(bus.DefaultBusName, objectPath).Call(vmIface+".Echo", 0, text).Store(&got)
	if err != nil || got != text {
		t.Errorf("a message of %d bytes: got %d, %v", most, len(got), err)
	}
	conn := rig.Self().MustDial(t, address)
	if err := conn.Object(bus.DefaultBusName, objectPath).Call(vmIface+".Echo", 0, text+strings.Repeat("x", header)).Err; err == nil {
		t.Errorf("a message of more than %d bytes is delivered", most)
	}
	rig.Eventually(t, "who sends more is disconnected", func() bool { return !conn.Connected() })
}

// TestMemoryOfHalfSent has one user hold half-sent messages of the largest size, a quarter of what he may have
// connections: they take no more than their size, others are served as before, and all is given back.
func TestMemoryOfHalfSent(t *testing.T) {
	const connections, size, slack = 64, 4 << 20, 16 << 20 // slack is what the connections themselves take
	d := start(t, private)
	serve(t, rig.Self(), d.Address(), bus.DefaultBusName)
	before := rig.RSS(t, d.PID())
	client := rig.Self().MustDial(t, d.Address())
	stop := halfSend(t, d.Address(), connections, size)
	rig.Eventually(t, "dbus-daemon holds all of it", func() bool { return rig.RSS(t, d.PID()) > connections*size*9/10 })
	served(t, client)
	most := rig.RSS(t, d.PID())
	stop()
	if limit := before + connections*size + slack; most > limit {
		t.Errorf("dbus-daemon has %d MiB, want %d at most", most>>20, limit>>20)
	}
	after := 0
	rig.Eventually(t, "dbus-daemon gives its memory back", func() bool {
		after = rig.RSS(t, d.PID())
		return after < before+slack
	})
	t.Logf("%d MiB before, %d while it holds half-sent messages, %d after", before>>20, most>>20, after>>20)
}

// TestMemoryIsBounded: dbus-daemon may have 2 GiB. What happens at such a limit is shown with a
// smaller one: it takes no more, others are served, and all is given back.
func TestMemoryIsBounded(t *testing.T) {
	d := start(t, private)
	var limit unix.Rlimit
	mustDo(t, unix.Prlimit(d.PID(), unix.RLIMIT_DATA, nil, &limit))
	if limit.Cur != 2<<30 || limit.Max != 2<<30 {
		t.Errorf("dbus-daemon's memory is limited to %d, at most %d; want 2 GiB", limit.Cur, limit.Max)
	}
	const small, slack = 64 << 20, 16 << 20 // slack is what is not data
	mustDo(t, unix.Prlimit(d.PID(), unix.RLIMIT_DATA, &unix.Rlimit{Cur: small, Max: small}, nil))
	serve(t, rig.Self(), d.Address(), bus.DefaultBusName)
	client := rig.Self().MustDial(t, d.Address()) // there may be no room for another later
	stop := halfSend(t, d.Address(), 32, 4<<20)
	rig.Eventually(t, "dbus-daemon's memory is full", func() bool { return rig.RSS(t, d.PID()) > small*3/4 })
	served(t, client)
	if got := rig.RSS(t, d.PID()); got > small+slack {
		t.Errorf("dbus-daemon has %d MiB, want %d at most", got>>20, (small+slack)>>20)
	}
	stop()
	rig.Eventually(t, "dbus-daemon gives its memory back", func() bool { return rig.RSS(t, d.PID()) < small/2 })
}

// served checks that small calls come through.
func served(t *testing.T, client *dbus.Conn) {
	t.Helper()
	for range 20 {
		if err := client.Object(bus.DefaultBusName, objectPath).Call(vmIface+".Echo", 0, "x").Err; err != nil {
			t.Fatalf("a call meanwhile: %v", err)
		}
	}
}

// halfSend makes connections that each send most of a call of the size, as far as the bus takes it.
func halfSend(t *testing.T, address string, connections, size int) (stop func()) {
	t.Helper()
	call := rig.CallMessage(bus.DefaultBusName, objectPath, vmIface, "Echo", strings.Repeat("x", size-512))
	var all sync.WaitGroup
	var raws []*rig.Raw
	for range connections {
		raws = append(raws, rig.DialRaw(t, rig.Self(), address))
	}
	for _, r := range raws {
		message := r.Encode(t, call)
		all.Go(func() { _, _ = r.Write(message[:len(message)-64]) }) // until the bus takes no more, or stop
	}
	return func() {
		for _, r := range raws {
			r.Close()
		}
		all.Wait()
	}
}

// TestSlowReader: one that doesn't read loses what is over its 2 MiB, and nobody
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

	const blobs = 8 // at a time, 512 KiB
	blob := strings.Repeat("x", 64<<10)
	for range 64 {
		for range blobs {
			if err := service.Emit(objectPath, "org.qemu.VM1.Blob", blob); err != nil {
				t.Fatal(err)
			}
		}
		for got := 0; got < blobs; {
			if strings.HasSuffix(next(t, signals).Name, ".Blob") {
				got++
			}
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

// TestUnauthenticatedPlaces: as many as there are places for connections that don't say who they are, and nobody
// else gets in; dbus-daemon makes room by disconnecting them after 5 s. One fewer, and others get in at
// once.
func TestUnauthenticatedPlaces(t *testing.T) {
	t.Parallel()
	const places = 128
	d := start(t, private)
	var silent []net.Conn
	hold := func(n int) {
		for range n {
			conn, err := net.Dial("unix", strings.TrimPrefix(d.Address(), "unix:path="))
			mustDo(t, err)
			t.Cleanup(func() { conn.Close() })
			silent = append(silent, conn)
		}
	}
	gone := func() (n int) {
		for _, conn := range silent {
			mustDo(t, conn.SetReadDeadline(time.Now().Add(time.Millisecond)))
			if _, err := conn.Read(make([]byte, 1)); errors.Is(err, io.EOF) {
				n++
			}
		}
		return n
	}
	hold(places - 1)
	rig.Self().MustDial(t, d.Address())
	if n := gone(); n != 0 {
		t.Errorf("%d of %d silent connections were ended to let another in", n, places-1)
	}
	hold(1)
	rig.Self().MustDial(t, d.Address())
	if gone() == 0 {
		t.Errorf("a connection was let in beside %d silent ones", places)
	}
}
