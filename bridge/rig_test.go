package bridge_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"

	"qmp-dbus-bridge/bridge"
	"qmp-dbus-bridge/bridge/audit"
	"qmp-dbus-bridge/e2e/rig"
	"qmp-dbus-bridge/qmp"
)

const (
	busName   = "org.qemu.VM1"
	vmPath    = dbus.ObjectPath("/org/qemu/VM1")
	qmpPath   = dbus.ObjectPath("/org/qemu/VM1/QMP")
	call      = "org.qemu.VM1.QMP.Call"
	callJSON  = "org.qemu.VM1.QMP.CallJson"
	eventsIf  = "org.qemu.VM1.QMP.Events"
	propsIf   = "org.freedesktop.DBus.Properties"
	dbusError = "org.freedesktop.DBus.Error."
	ourError  = "org.qemu.VM1.Error."
)

// Who has which role in the tests.
var (
	admin    = rig.Self()
	viewer   = rig.Alice
	operator = rig.Bob
	helper   = rig.News
	stranger = rig.Mail // has none
	grants   = []string{"viewer=uid:1", "operator=uid:2", "helper=uid:9"}
)

// world is a bridge between a fake QEMU and a real bus.
type world struct {
	tb     testing.TB
	bus    *rig.Bus
	bridge *bridge.Bridge
	qmp    func(context.Context, qmp.Options) (*qmp.Conn, error)
	audit  *audit.Trail
	file   string     // the audit's
	cedar  []string   // policies besides the built-in one
	ended  chan error // gets what Run returns; nil before run
	once   bool
	log    io.Writer // nil: none
	limits bridge.Limits
	wait   bridge.Patience
	state  *bridge.VMState
}

// newWorld prepares one with an audit in a file.
func newWorld(tb testing.TB, dial func(context.Context, qmp.Options) (*qmp.Conn, error)) *world {
	tb.Helper()
	w := &world{tb: tb, bus: rig.StartDaemon(tb, rig.Permissive), qmp: dial, file: filepath.Join(tb.TempDir(), "audit")}
	w.audit = openAudit(tb, w.file)
	return w
}

func openAudit(tb testing.TB, destination string) *audit.Trail {
	tb.Helper()
	trail, err := audit.Open(destination, slog.New(slog.DiscardHandler))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { trail.Close() }) // a destination that fails is the test's own
	return trail
}

// serve is a world that runs with m as its QEMU.
func serve(tb testing.TB, m *machine) *world {
	tb.Helper()
	w := newWorld(tb, m.dial)
	w.join()
	w.run()
	return w
}

// serveLogged is serve, and what the bridge logs.
func serveLogged(tb testing.TB, m *machine) (*world, *logBuffer) {
	tb.Helper()
	w, log := newWorld(tb, m.dial), new(logBuffer)
	w.log = log
	w.join()
	w.run()
	return w, log
}

func (m *machine) dial(ctx context.Context, o qmp.Options) (*qmp.Conn, error) {
	return qmp.Dial(ctx, qmp.Address(m.path), o)
}

// connect reaches QEMU.
func (w *world) connect() error {
	w.make()
	return w.bridge.Connect(context.Background())
}

// make makes the bridge.
func (w *world) make() {
	w.bridge = bridge.New(bridge.Config{
		Dial: w.qmp, Once: w.once, BusName: busName, ObjectPath: string(vmPath), Version: "1.2.3",
		Audit: w.audit, Log: w.logger(), Limits: w.limits, Patience: w.wait, VMState: w.state,
	})
	w.tb.Cleanup(func() {
		if err := w.bridge.Close(); err != nil {
			w.tb.Errorf("Close: %v", err)
		}
	})
}

func (w *world) logger() *slog.Logger {
	if w.log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(w.log, nil))
}

// join reaches QEMU and takes the seat on the bus; calls wait until run.
func (w *world) join() {
	w.tb.Helper()
	if err := w.connect(); err != nil {
		w.tb.Fatal(err)
	}
	if err := w.bridge.Join(context.Background(), w.bus.Address, w.policy(w.cedar...)); err != nil {
		w.tb.Fatal(err)
	}
}

// run serves until the test ends.
func (w *world) run() {
	ctx, cancel := context.WithCancel(context.Background())
	w.ended = make(chan error, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.ended <- w.bridge.Run(ctx)
	}()
	w.tb.Cleanup(func() {
		cancel()
		<-done
	})
}

// sync returns when the bridge has read what QEMU sent before.
func (w *world) sync() {
	w.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), rig.Timeout)
	defer cancel()
	if err := w.bridge.Command(ctx, "query-name"); err != nil {
		w.tb.Fatal(err)
	}
}

// as is a caller.
func (w *world) as(u rig.User) *caller {
	w.tb.Helper()
	if u != rig.Self() {
		rig.RequireRoot(w.tb)
	}
	conn := u.MustDial(w.tb, w.bus.Address)
	return &caller{tb: w.tb, Conn: conn, unique: conn.Names()[0]}
}

// record is a line of the audit.
type record struct {
	Caller, Action, Decision, Policy, Result string
	UID                                      *uint32
}

// records waits until the audit has n lines at least and returns all, in the order of the calls:
// they are written in that of the ends.
func (w *world) records(n int) []record {
	w.tb.Helper()
	var lines []string
	rig.Eventually(w.tb, "the audit has its records", func() bool {
		text, err := os.ReadFile(w.file)
		if err != nil {
			w.tb.Fatal(err)
		}
		lines = strings.SplitAfter(string(text), "\n")
		return len(lines) > n
	})
	lines = lines[:len(lines)-1]
	slices.Sort(lines) // each begins with its time
	var list []record
	for _, line := range lines {
		var r record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			w.tb.Fatalf("audit: %q: %v", line, err)
		}
		list = append(list, r)
	}
	return list
}
