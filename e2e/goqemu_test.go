package e2e_test

import (
	"errors"
	"io/fs"
	"path/filepath"
	"testing"
	"time"

	"github.com/digitalocean/go-qemu/qemu"
	goqmp "github.com/digitalocean/go-qemu/qmp"
	"github.com/google/go-cmp/cmp"

	"qmp-dbus-bridge/e2e/rig"
	qmpclient "qmp-dbus-bridge/qmp"
	"qmp-dbus-bridge/qmp/goqemu"
)

// TestGoQEMU has go-qemu's Domain of root, of an operator and of a viewer on the bus, and one on a monitor of its own, while ten
// D-Bus clients use the bridge: each does what its rights are, and sees the events that are for it.
func TestGoQEMU(t *testing.T) {
	rig.RequireRoot(t)
	onBothBuses(t, testGoQEMU)
}

func testGoQEMU(t *testing.T, flags []string) {
	dir := rig.TempDir(t)
	image := filepath.Join(dir, "image")
	createImage(t, image)
	vm := rig.StartQEMU(t, rig.QEMU{Count: 2, Args: []string{
		"-drive", "if=none,id=disk0,format=qcow2,file=" + image, "-device", "virtio-blk-pci,drive=disk0",
	}})
	b := serveQEMU(t, vm, append(flags, "--audit", "none", "--grant", "viewer=uid:1", "--grant", "operator=uid:2")...)

	const clients = 10
	stop, others := make(chan struct{}), make(chan error, clients)
	for range clients {
		go func() { others <- keepUsing(b.address, stop) }()
	}

	root := domain(t, goqemu.Bus(b.address, goqemu.BusOptions{}))
	operator := domain(t, goqemu.BusConn(rig.Bob.MustDial(t, b.address), goqemu.BusOptions{}))
	viewer := domain(t, goqemu.BusConn(rig.Alice.MustDial(t, b.address), goqemu.BusOptions{}))
	direct := domain(t, goqemu.Direct(qmpclient.Address(vm.Monitors[1]), qmpclient.Options{}))

	for name, d := range map[string]*qemu.Domain{"root": root, "operator": operator, "viewer": viewer, "direct": direct} {
		if status, err := d.Status(); err != nil || status != qemu.StatusRunning {
			t.Errorf("%s: Status = %v, %v, want running", name, status, err)
		}
		if _, err := d.Run(goqmp.Command{Execute: "no-such"}); err == nil {
			t.Errorf("%s: no-such was executed", name)
		}
	}
	for _, test := range []struct {
		what     string
		call     func(*qemu.Domain) error
		operator bool // whether it may
	}{
		{"BlockDevices", func(d *qemu.Domain) error { _, err := d.BlockDevices(); return err }, false},
		{"migrate", func(d *qemu.Domain) error {
			_, err := d.Run(goqmp.Command{Execute: "migrate", Args: map[string]string{"uri": "exec:true"}})
			return err
		}, false},
		{"SystemPowerdown", (*qemu.Domain).SystemPowerdown, true},
	} {
		if err := test.call(viewer); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("a viewer's %s: %v, want fs.ErrPermission", test.what, err)
		}
		if err := test.call(operator); errors.Is(err, fs.ErrPermission) == test.operator {
			t.Errorf("an operator's %s: %v", test.what, err)
		}
	}
	sameAnswers(t, root, direct)

	events := map[string]<-chan goqmp.Event{}
	for name, d := range map[string]*qemu.Domain{"operator": operator, "viewer": viewer, "direct": direct} {
		events[name] = watchDomain(t, d)
	}
	mirror(t, root, filepath.Join(dir, "copy"))
	if err := operator.SystemReset(); err != nil {
		t.Error(err)
	}
	for name, ch := range events {
		e, before := domainEvent(t, ch, "RESET")
		if e.Data["guest"] != false || e.Timestamp.Seconds < time.Now().Add(-time.Hour).Unix() {
			t.Errorf("%s: RESET with %v at %v", name, e.Data, e.Timestamp)
		}
		if !before["BLOCK_JOB_READY"] || before["BLOCK_JOB_COMPLETED"] != (name == "direct") {
			t.Errorf("%s received %v before RESET; that the job completed is not for all", name, before)
		}
	}
	close(stop)
	for range clients {
		if err := <-others; err != nil {
			t.Error(err)
		}
	}
}

// keepUsing is a client of the bridge that calls until stop is closed.
func keepUsing(address string, stop <-chan struct{}) error {
	for {
		if err := useBridge(address, 10); err != nil {
			return err
		}
		select {
		case <-stop:
			return nil
		default:
		}
	}
}

// domain is go-qemu's, until the test ends.
func domain(t *testing.T, m goqmp.Monitor) *qemu.Domain {
	t.Helper()
	if err := m.Connect(); err != nil {
		t.Fatal(err)
	}
	d, err := qemu.NewDomain(m, "vm")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// sameAnswers compares what two ways to QEMU give.
func sameAnswers(t *testing.T, bus, direct *qemu.Domain) {
	t.Helper()
	for what, ask := range map[string]func(*qemu.Domain) (any, error){
		"BlockDevices":   func(d *qemu.Domain) (any, error) { return d.BlockDevices() },
		"PCIDevices":     func(d *qemu.Domain) (any, error) { return d.PCIDevices() },
		"Commands":       func(d *qemu.Domain) (any, error) { return d.Commands() },
		"Version":        func(d *qemu.Domain) (any, error) { return d.Version() },
		"PackageVersion": func(d *qemu.Domain) (any, error) { return d.PackageVersion() },
		"an error": func(d *qemu.Domain) (any, error) {
			_, err := d.Run(goqmp.Command{Execute: "device_del", Args: map[string]string{"id": "none"}})
			return err.Error(), nil
		},
	} {
		want, err := ask(direct)
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
		got, err := ask(bus)
		if err != nil {
			t.Errorf("%s over the bus: %v", what, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s, directly and over the bus (-want +got):\n%s", what, diff)
		}
	}
}

// mirror copies the drive by go-qemu's own functions, which wait for events, one of them not sent to all.
func mirror(t *testing.T, d *qemu.Domain, path string) {
	t.Helper()
	drive, err := d.BlockDevice("disk0")
	if err != nil {
		t.Fatal(err)
	}
	if err := drive.Mirror(d, path, rig.Timeout); err != nil {
		t.Fatalf("Mirror: %v", err)
	}
	jobs, err := d.BlockJobs()
	if err != nil || len(jobs) != 1 {
		t.Fatalf("BlockJobs = %v, %v, want one", jobs, err)
	}
	if err := jobs[0].Complete(d, rig.Timeout); err != nil {
		t.Errorf("Complete: %v", err)
	}
}

// watchDomain gives a domain's events until the test ends.
func watchDomain(t *testing.T, d *qemu.Domain) <-chan goqmp.Event {
	t.Helper()
	ch, done, err := d.Events()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { close(done) })
	return ch
}

// domainEvent waits for an event and returns it, and which ones came before it.
func domainEvent(t *testing.T, ch <-chan goqmp.Event, name string) (e goqmp.Event, before map[string]bool) {
	t.Helper()
	before = map[string]bool{}
	patience := time.After(rig.Timeout)
	for {
		select {
		case e := <-ch:
			if e.Event == name {
				return e, before
			}
			before[e.Event] = true
		case <-patience:
			t.Fatalf("no event %s within %v, but %v", name, rig.Timeout, before)
		}
	}
}
