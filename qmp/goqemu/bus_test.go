package goqemu_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	goqmp "github.com/digitalocean/go-qemu/qmp"
	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"

	"qmp-dbus-bridge/e2e/rig"
	"qmp-dbus-bridge/qmp"
	"qmp-dbus-bridge/qmp/fdtest"
	"qmp-dbus-bridge/qmp/goqemu"
)

// onBoth runs a test on a connection of the monitor's own and on one that it is given.
func onBoth(t *testing.T, test func(t *testing.T, b *bridge, dial func(goqemu.BusOptions) *goqemu.Monitor)) {
	t.Run("Bus", func(t *testing.T) {
		b := startBridge(t)
		test(t, b, func(o goqemu.BusOptions) *goqemu.Monitor { return goqemu.Bus(b.bus.Address, o) })
	})
	t.Run("BusConn", func(t *testing.T) {
		b := startBridge(t)
		test(t, b, func(o goqemu.BusOptions) *goqemu.Monitor {
			return goqemu.BusConn(rig.Self().MustDial(t, b.bus.Address), o)
		})
	})
}

// TestRun has commands and answers go through.
func TestRun(t *testing.T) { onBoth(t, testRun) }

func testRun(t *testing.T, _ *bridge, dial func(goqemu.BusOptions) *goqemu.Monitor) {
	m := dial(goqemu.BusOptions{})
	connect(t, m)
	for command, want := range map[string]string{
		`{"execute": "stop"}`:                                `{"return": {"command": "stop", "arguments": ""}}`,
		`{"execute": "x", "arguments": { "a": 1 }, "id": 7}`: `{"return": {"command": "x", "arguments": "{\"a\":1}"}, "id": 7}`,
	} {
		if got, err := m.Run([]byte(command)); err != nil || string(got) != want {
			t.Errorf("Run(%s) = %s, %v, want %s", command, got, err, want)
		}
	}
	if _, err := m.Run([]byte(`{"execute": "\u0000"}`)); err == nil || !strings.Contains(err.Error(), "can't be sent") {
		t.Errorf("Run of a name with NUL = %v", err)
	}
}

// TestBusErrors has the bridge refuse a command in each way.
func TestBusErrors(t *testing.T) {
	b := startBridge(t)
	m := goqemu.Bus(b.bus.Address, goqemu.BusOptions{})
	connect(t, m)
	for _, test := range []struct {
		refusal *dbus.Error
		text    string
		is      error // nil: none
		class   string
	}{
		{refusal("org.qemu.VM1.Error.Qmp.DeviceNotFound", "Device 'x' not found"), "Device 'x' not found", nil, "DeviceNotFound"},
		{refusal("org.qemu.VM1.Error.Qmp.GenericError"), "GenericError", nil, "GenericError"},
		{refusal(dbusError+"AccessDenied", "uid 1 may not stop"), dbusError + "AccessDenied: uid 1 may not stop", fs.ErrPermission, ""},
		{refusal("org.qemu.VM1.Error.Disconnected", "no QEMU"), "org.qemu.VM1.Error.Disconnected: no QEMU", qmp.ErrClosed, ""},
		{refusal(dbusError+"ServiceUnknown", "x"), dbusError + "ServiceUnknown: x", qmp.ErrClosed, ""},
		{refusal(dbusError+"LimitsExceeded", "x"), dbusError + "LimitsExceeded: x", nil, ""},
		{refusal(dbusError + "Failed"), dbusError + "Failed", nil, ""},
		{refusal(dbusError+"Failed", uint32(1)), dbusError + "Failed", nil, ""},
	} {
		b.behave(behaviour{answer: func(string, string) (string, *dbus.Error) { return "", test.refusal }})
		_, err := m.Run([]byte(`{"execute": "x"}`))
		if err == nil || err.Error() != test.text {
			t.Errorf("%s: %v, want %s", test.refusal.Name, err, test.text)
		}
		for _, is := range []error{fs.ErrPermission, qmp.ErrClosed} {
			if got, want := errors.Is(err, is), test.is == is; got != want {
				t.Errorf("%v is %v: %v", err, is, got)
			}
		}
		var (
			refused *qmp.Error
			remote  dbus.Error
		)
		if test.class != "" {
			if !errors.As(err, &refused) || refused.Class != test.class {
				t.Errorf("%s is no *qmp.Error of class %s", test.refusal.Name, test.class)
			}
		} else if !errors.As(err, &remote) || remote.Name != test.refusal.Name {
			t.Errorf("%v is no dbus.Error %s", err, test.refusal.Name)
		}
	}
}

// TestMaxBusCommand has one command as large as may be, which a private bus would pass on, and one that is a byte larger.
func TestMaxBusCommand(t *testing.T) {
	b := startBridge(t)
	sizes := make(chan int, 1)
	b.behave(behaviour{answer: func(command, arguments string) (string, *dbus.Error) {
		sizes <- len(command) + len(arguments)
		return "{}", nil
	}})
	m := goqemu.Bus(b.bus.Address, goqemu.BusOptions{})
	connect(t, m)
	for over, want := range []string{"<nil>", fmt.Sprintf("%d bytes; %d is the most", goqemu.MaxBusCommand+1, goqemu.MaxBusCommand)} {
		filling := goqemu.MaxBusCommand + over - len(`x{"a":""}`)
		_, err := m.Run([]byte(`{"execute": "x", "arguments": {"a": "` + strings.Repeat("a", filling) + `"}}`))
		if !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%d bytes: %v, want %s", goqemu.MaxBusCommand+over, err, want)
		}
	}
	if size, _ := receive(t, sizes); size != goqemu.MaxBusCommand || len(sizes) > 0 {
		t.Errorf("%d bytes came, want %d, and once", size, goqemu.MaxBusCommand)
	}
}

// TestEvents has each kind of signal, and some that are not the bridge's.
func TestEvents(t *testing.T) { onBoth(t, testEvents) }

func testEvents(t *testing.T, b *bridge, dial func(goqemu.BusOptions) *goqemu.Monitor) {
	m := dial(goqemu.BusOptions{})
	connect(t, m)
	ch := events(t, m)
	const at = int64(1_700_000_000_000_005)
	forger := rig.Self().MustDial(t, b.bus.Address)
	emit(t, forger, eventsIf+".Stop", data(), at)
	for _, to := range others(t, b) { // past all matches
		forged := &dbus.Message{Type: dbus.TypeSignal, Headers: map[dbus.HeaderField]dbus.Variant{
			dbus.FieldDestination: dbus.MakeVariant(to), dbus.FieldPath: dbus.MakeVariant(qmpPath),
			dbus.FieldInterface: dbus.MakeVariant(eventsIf), dbus.FieldMember: dbus.MakeVariant("Stop"),
			dbus.FieldSignature: dbus.MakeVariant(dbus.ParseSignatureMust("a{sv}x")),
		}, Body: []any{data(), at}}
		if err := forger.Send(forged, nil).Err; err != nil {
			t.Fatal(err)
		}
	}
	roundTrip(t, forger) // the bus has passed all that on
	emit(t, b.Conn, "org.qemu.VM1.QMP.Other.Stop", data(), at)
	b.emit(t, "Stop", data(), at)
	b.emit(t, "DeviceDeleted", data("path", "/machine", "device", "ü"), int64(-1))
	b.emit(t, "AcmeX1", data(
		"number", int64(-5), "big", uint64(1<<63), "fraction", 1.5, "yes", true, "null", dbus.Signature{},
		"numbers", []int64{1, 2}, "mixed", []dbus.Variant{dbus.MakeVariant("a"), dbus.MakeVariant(dbus.Signature{})},
		"records", []map[string]dbus.Variant{data("x", []string{})},
	), at)
	b.emit(t, "Other", "NEW_ONE", data("a", int64(1)), at)
	b.emit(t, "BlockJobReady", data("json", `{"deep": [[]]}`), at)
	b.emit(t, "BlockJobReady", data("json", `no object`), at)
	b.emit(t, "Lost", uint64(3))
	b.emit(t, "Stop", "no data")
	b.emit(t, "Stop", data("no JSON", math.NaN()), int64(0))
	b.emit(t, "Resume", data(), int64(0))
	type object = map[string]any
	var want []goqmp.Event
	expect := func(name string, seconds, microseconds int64, data object) {
		e := goqmp.Event{Event: name, Data: data}
		e.Timestamp.Seconds, e.Timestamp.Microseconds = seconds, microseconds
		want = append(want, e)
	}
	expect("STOP", 1_700_000_000, 5, nil)
	expect("DEVICE_DELETED", -1, -1, object{"path": "/machine", "device": "ü"})
	expect("__ACME_X-1", 1_700_000_000, 5, object{
		"number": -5.0, "big": float64(1 << 63), "fraction": 1.5, "yes": true, "null": nil,
		"numbers": []any{1.0, 2.0}, "mixed": []any{"a", nil}, "records": []any{object{"x": []any{}}},
	})
	expect("NEW_ONE", 1_700_000_000, 5, object{"a": 1.0})
	expect("BLOCK_JOB_READY", 1_700_000_000, 5, object{"deep": []any{[]any{}}})
	expect("BLOCK_JOB_READY", 1_700_000_000, 5, object{"json": "no object"})
	expect(goqemu.EventLost, -1, -1, object{"count": 3.0})
	expect(goqemu.EventLost, -1, -1, object{"count": 1.0})
	expect(goqemu.EventLost, -1, -1, object{"count": 1.0})
	expect("RESUME", 0, 0, nil)
	var got []goqmp.Event
	for range want {
		got = append(got, event(t, ch))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// others gives the unique names on the bus that are not the bridge's.
func others(t *testing.T, b *bridge) (names []string) {
	t.Helper()
	var all []string
	if err := b.BusObject().Call("org.freedesktop.DBus.ListNames", 0).Store(&all); err != nil {
		t.Fatal(err)
	}
	for _, name := range all {
		if strings.HasPrefix(name, ":") && name != b.Names()[0] {
			names = append(names, name)
		}
	}
	return names
}

// roundTrip returns when the bus has handled what was sent before.
func roundTrip(t *testing.T, conn *dbus.Conn) {
	t.Helper()
	if err := conn.BusObject().Call("org.freedesktop.DBus.GetId", 0).Err; err != nil {
		t.Fatal(err)
	}
}

// TestSubscribe has events asked for as the options say.
func TestSubscribe(t *testing.T) { onBoth(t, testSubscribe) }

func testSubscribe(t *testing.T, b *bridge, dial func(goqemu.BusOptions) *goqemu.Monitor) {
	denied := refusal(dbusError+"AccessDenied", "no")
	for _, test := range []struct {
		names  []string
		refuse *dbus.Error
		asked  []string
		want   string
	}{
		{nil, nil, []string{"BLOCK_JOB_COMPLETED"}, "<nil>"},
		{nil, denied, []string{"BLOCK_JOB_COMPLETED"}, "<nil>"},
		{
			nil, refusal(dbusError+"LimitsExceeded", "many"),
			[]string{"BLOCK_JOB_COMPLETED"},
			"subscribe to BLOCK_JOB_COMPLETED: " + dbusError + "LimitsExceeded: many",
		},
		{[]string{}, nil, nil, "<nil>"},
		{[]string{"A", "B"}, nil, []string{"A", "B"}, "<nil>"},
		{[]string{"A", "B"}, denied, []string{"A"}, "subscribe to A: " + dbusError + "AccessDenied: no"},
	} {
		b.behave(behaviour{refuse: test.refuse})
		m := dial(goqemu.BusOptions{Subscribe: test.names})
		connect(t, m)
		ch, err := m.Events(context.Background())
		if fmt.Sprint(err) != test.want {
			t.Errorf("Events with %v: %v, want %s", test.names, err, test.want)
		}
		for _, want := range test.asked {
			if got, _ := receive(t, b.asked); got != want {
				t.Errorf("Subscribe(%s), want %s", got, want)
			}
		}
		if err := m.Disconnect(); err != nil {
			t.Error(err)
		}
		if ch != nil {
			ended(t, ch)
		}
		if len(test.asked) > 0 && test.refuse == nil && t.Name() == "TestSubscribe/BusConn" {
			if got, _ := receive(t, b.asked); got != "-"+strings.Join(test.asked, " ") {
				t.Errorf("Disconnect ends the subscriptions %s, want %v", got, test.asked)
			}
		}
	}
	if len(b.asked) > 0 {
		t.Errorf("asked for %s", <-b.asked)
	}
}

// TestBridgeLeaves has the bridge end and another one come: events end, Run says so, and both go on with the next one.
func TestBridgeLeaves(t *testing.T) { onBoth(t, testBridgeLeaves) }

func testBridgeLeaves(t *testing.T, b *bridge, dial func(goqemu.BusOptions) *goqemu.Monitor) {
	m := dial(goqemu.BusOptions{})
	connect(t, m)
	ch := events(t, m)
	b.emit(t, "Stop", data(), int64(0))
	b.Conn.Close()
	if e := event(t, ch); e.Event != "STOP" {
		t.Errorf("%s came, want STOP", e.Event)
	}
	ended(t, ch)
	if _, err := m.Run([]byte(`{"execute": "x"}`)); !errors.Is(err, qmp.ErrClosed) {
		t.Errorf("Run without a bridge = %v, want qmp.ErrClosed", err)
	}
	if _, err := m.Events(context.Background()); !errors.Is(err, qmp.ErrClosed) {
		t.Errorf("Events without a bridge = %v, want qmp.ErrClosed", err)
	}
	b.join(t)
	if _, err := m.Run([]byte(`{"execute": "x"}`)); err != nil {
		t.Error(err)
	}
	rig.Eventually(t, "the monitor knows the new bridge", func() (known bool) {
		ch, _ = m.Events(context.Background())
		return ch != nil
	})
	b.emit(t, "Resume", data(), int64(0))
	if e := event(t, ch); e.Event != "RESUME" {
		t.Errorf("%s came, want RESUME", e.Event)
	}
}

// TestBusEnds has the bus end.
func TestBusEnds(t *testing.T) { onBoth(t, testBusEnds) }

func testBusEnds(t *testing.T, b *bridge, dial func(goqemu.BusOptions) *goqemu.Monitor) {
	m := dial(goqemu.BusOptions{})
	connect(t, m)
	ch := events(t, m)
	b.bus.Stop()
	ended(t, ch)
	if _, err := m.Run([]byte(`{"execute": "x"}`)); !errors.Is(err, qmp.ErrClosed) {
		t.Errorf("Run without a bus = %v, want qmp.ErrClosed", err)
	}
	if _, err := m.Events(context.Background()); !errors.Is(err, qmp.ErrClosed) {
		t.Errorf("Events without a bus = %v, want qmp.ErrClosed", err)
	}
}

// TestBusDisconnect ends a command that the bridge doesn't answer, and leaves a connection that was given usable.
func TestBusDisconnect(t *testing.T) { onBoth(t, testBusDisconnect) }

func testBusDisconnect(t *testing.T, b *bridge, dial func(goqemu.BusOptions) *goqemu.Monitor) {
	arrived, release := make(chan struct{}), make(chan struct{})
	b.behave(behaviour{answer: func(string, string) (string, *dbus.Error) {
		close(arrived)
		<-release
		return "{}", nil
	}})
	defer close(release)
	m := dial(goqemu.BusOptions{})
	connect(t, m)
	result := make(chan error)
	go func() {
		_, err := m.Run([]byte(`{"execute": "x"}`))
		result <- err
	}()
	receive(t, arrived)
	if err := m.Disconnect(); err != nil {
		t.Error(err)
	}
	if err, _ := receive(t, result); !errors.Is(err, qmp.ErrClosed) || !strings.Contains(err.Error(), "Disconnect") {
		t.Errorf("Run = %v, want qmp.ErrClosed by Disconnect", err)
	}
}

// TestConnReused has two monitors one after the other on one connection, which stays open.
func TestConnReused(t *testing.T) {
	b := startBridge(t)
	conn := rig.Self().MustDial(t, b.bus.Address, dbus.WithSignalHandler(dbus.NewSequentialSignalHandler()))
	for range 2 {
		m := goqemu.BusConn(conn, goqemu.BusOptions{})
		connect(t, m)
		ch := events(t, m)
		const many = 500
		for i := range many {
			b.emit(t, "Stop", data("n", int64(i)), int64(0))
		}
		for i := range many {
			if e := event(t, ch); e.Data["n"] != float64(i) {
				t.Fatalf("event %v came, want %d", e, i)
			}
		}
		if err := m.Disconnect(); err != nil {
			t.Error(err)
		}
	}
	roundTrip(t, conn)
	conn.Close()
	if err := goqemu.BusConn(conn, goqemu.BusOptions{}).Connect(); !errors.Is(err, qmp.ErrClosed) {
		t.Errorf("Connect on a closed connection = %v, want qmp.ErrClosed", err)
	}
}

// TestStoppedBus has a bus that does not read while a large command is written: Disconnect ends it.
func TestStoppedBus(t *testing.T) {
	b := startBridge(t)
	m := goqemu.Bus(b.bus.Address, goqemu.BusOptions{})
	connect(t, m)
	b.bus.Signal(t, syscall.SIGSTOP)
	defer b.bus.Signal(t, syscall.SIGCONT)
	result := make(chan error)
	command := []byte(`{"execute": "x", "arguments": {"a": "` + strings.Repeat("a", 3<<20) + `"}}`)
	const commands = 4
	for range commands {
		go func() {
			_, err := m.Run(command)
			result <- err
		}()
	}
	rig.Eventually(t, "a command is being written", func() bool {
		stacks := make([]byte, 1<<20)
		return strings.Contains(string(stacks[:runtime.Stack(stacks, true)]), "net.(*conn).Write(")
	})
	if err := m.Disconnect(); err != nil {
		t.Error(err)
	}
	for range commands {
		if err, _ := receive(t, result); err == nil {
			t.Error("Run succeeded")
		}
	}
}

// TestConnectErrors has what keeps Connect and Events from succeeding.
func TestConnectErrors(t *testing.T) {
	fdtest.Check(t)
	bus := rig.StartDaemon(t, rig.Permissive)
	silent, err := net.Listen("unix", filepath.Join(rig.TempDir(t), "silent"))
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for address, want := range map[string]string{
		"":                                    "names no Unix socket",
		"tcp:host=localhost,path=/x":          "names no Unix socket",
		"unix:path=/%zz":                      "bus address",
		"unix:path=/nonexistent/bus":          "no such file or directory",
		"unix:path=" + silent.Addr().String(): "i/o timeout",
		bus.Address:                           "no bridge on the bus: org.freedesktop.DBus.Error.NameHasNoOwner",
		"tcp:;unix:guid=0," + strings.TrimPrefix(bus.Address, "unix:") + ",x=y;unix:path=/x": "no bridge on the bus",
	} {
		options := goqemu.BusOptions{}
		if strings.Contains(want, "timeout") {
			options.Timeout = 10 * time.Millisecond
		}
		m := goqemu.Bus(address, options)
		if err := m.Connect(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Connect to %q = %v, want %s", address, err, want)
		}
		if _, err := m.Run([]byte(`{"execute": "x"}`)); err == nil {
			t.Errorf("Run past Connect to %q succeeded", address)
		}
	}
}

// TestEventsErrors has what keeps Events from succeeding.
func TestEventsErrors(t *testing.T) {
	b := startBridge(t)
	b.behave(behaviour{failed: refusal(dbusError+"Failed", "broken")})
	m := goqemu.Bus(b.bus.Address, goqemu.BusOptions{})
	connect(t, m)
	if _, err := m.Events(context.Background()); err == nil || !strings.Contains(err.Error(), "broken") {
		t.Errorf("Events = %v, want the bridge's error", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := m.Events(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Events = %v, want context.Canceled", err)
	}
	release := make(chan struct{})
	b.behave(behaviour{held: release})
	defer close(release)
	ctx, cancel = context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if _, err := m.Events(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "in time") {
		t.Errorf("Events = %v, want context.DeadlineExceeded", err)
	}
}
