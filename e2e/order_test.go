package e2e_test

import (
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/godbus/dbus/v5"

	"qmp-dbus-bridge/e2e/rig"
)

// TestPipelinedOrder has one sender write 2000 numbers into a ring buffer of QEMU's without
// waiting for replies, 200 outstanding, and reads there in which order they were executed.
func TestPipelinedOrder(t *testing.T) { onBothBuses(t, testPipelinedOrder) }

func testPipelinedOrder(t *testing.T, flags []string) {
	vm := rig.StartQEMU(t, rig.QEMU{Args: []string{"-chardev", "ringbuf,id=ring,size=65536"}})
	conn := rig.Self().MustDial(t, serveQEMU(t, vm, flags...).address)
	const calls, outstanding = 2000, 200
	object := conn.Object(busName, qmpPath)
	replies := make(chan *dbus.Call, calls)
	var want strings.Builder
	for n := range calls {
		if n >= outstanding {
			if err := (<-replies).Err; err != nil {
				t.Fatal(err)
			}
		}
		number := fmt.Sprintf("%d ", n)
		want.WriteString(number)
		object.Go(qmpCall, 0, replies, "ringbuf-write", map[string]dbus.Variant{
			"device": dbus.MakeVariant("ring"), "data": dbus.MakeVariant(number),
		})
	}
	for range outstanding {
		if err := (<-replies).Err; err != nil {
			t.Fatal(err)
		}
	}
	got, err := qmp(conn, "ringbuf-read", map[string]any{"device": "ring", "size": 65536})
	if err != nil {
		t.Fatal(err)
	}
	if got != want.String() {
		t.Errorf("executed in another order than sent:\n%.300s...", got)
	}
}

// TestManyClients has 200 clients call at once; none fails, and the bridge holds
// nothing for them when they have gone.
func TestManyClients(t *testing.T) { onBothBuses(t, testManyClients) }

func testManyClients(t *testing.T, flags []string) {
	vm := rig.StartQEMU(t, rig.QEMU{})
	b := serveQEMU(t, vm, append(flags, "--audit", "none")...)
	first := rig.Self().MustDial(t, b.address)
	if _, err := qmp(first, "query-status", nil); err != nil {
		t.Fatal(err)
	}
	before := len(rig.FDs(t, b.PID()))

	const clients, calls = 200, 20
	var all sync.WaitGroup
	errs := make(chan error, clients)
	for range clients {
		all.Go(func() { errs <- useBridge(b.address, calls) })
	}
	all.Wait()
	for range clients {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	rig.Eventually(t, "descriptors are as before", func() bool { return len(rig.FDs(t, b.PID())) == before })
}

// useBridge is a client that reads a property and runs a command in turn.
func useBridge(address string, calls int) error {
	conn, err := rig.Self().Dial(address)
	if err != nil {
		return err
	}
	defer conn.Close()
	for range calls {
		if _, err := conn.Object(busName, vmPath).GetProperty("org.qemu.VM1.Status"); err != nil {
			return err
		}
		if _, err := qmp(conn, "query-name", nil); err != nil {
			return err
		}
	}
	return nil
}

// TestQueueLimit has one sender exceed the calls that may wait for it while QEMU does not
// answer: those are refused, by name, the others are executed when QEMU goes on, and another
// sender is served meanwhile.
func TestQueueLimit(t *testing.T) { onBothBuses(t, testQueueLimit) }

func testQueueLimit(t *testing.T, flags []string) {
	vm := rig.StartQEMU(t, rig.QEMU{})
	b := serveQEMU(t, vm, append(flags, "--audit", "none")...)
	flooder, other := rig.Self().MustDial(t, b.address), rig.Self().MustDial(t, b.address)
	get[string](t, flooder, "Status") // the bridge knows it from now on
	vm.Signal(t, syscall.SIGSTOP)
	const (
		inFlight, queued = 4, 256 // of one sender
		refused          = 40
		calls            = inFlight + queued + refused
	)
	replies := make(chan *dbus.Call, calls)
	for range calls {
		flooder.Object(busName, qmpPath).Go(qmpCall, 0, replies, "query-status", map[string]dbus.Variant{})
	}
	for range refused {
		if got, want := errorName((<-replies).Err), dbusError+"LimitsExceeded"; got != want {
			t.Errorf("a call past the limit ended with %s, want %s", got, want)
		}
	}
	if status := get[string](t, other, "Status"); status != "running" {
		t.Errorf("Status = %q, want running", status)
	}
	vm.Signal(t, syscall.SIGCONT)
	for range calls - refused {
		if err := (<-replies).Err; err != nil {
			t.Errorf("a call within the limit: %v", err)
		}
	}
}
