package access_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"qmp-dbus-bridge/bridge/access"
)

func contextWithCancel(t *testing.T) (context.Context, context.CancelFunc) {
	return context.WithCancel(t.Context())
}

func good(call *dbus.Message) *dbus.Message { return replyTo(call, goodCredentials()) }

func silent(*dbus.Message) *dbus.Message { return nil }

func TestLookupWithoutIdentity(t *testing.T) {
	for name, answer := range map[string]func(*dbus.Message) *dbus.Message{
		"name has gone": func(call *dbus.Message) *dbus.Message {
			return errorTo(call, "org.freedesktop.DBus.Error.NameHasNoOwner")
		},
		"access denied": func(call *dbus.Message) *dbus.Message {
			return errorTo(call, "org.freedesktop.DBus.Error.AccessDenied")
		},
		"empty reply":       func(call *dbus.Message) *dbus.Message { return replyTo(call) },
		"empty credentials": func(call *dbus.Message) *dbus.Message { return replyTo(call, credentials{}) },
		"not a dictionary":  func(call *dbus.Message) *dbus.Message { return replyTo(call, uint32(0)) },
		"another dictionary": func(call *dbus.Message) *dbus.Message {
			return replyTo(call, map[string]uint32{"UnixUserID": 0})
		},
		"uid of another type": func(call *dbus.Message) *dbus.Message {
			return replyTo(call, credentials{"UnixUserID": dbus.MakeVariant(int64(0))})
		},
		"no answer": silent,
	} {
		t.Run(name, func(t *testing.T) {
			bus, client := startFakeBus(t, answer)
			callers, _ := runCallers(t, client, access.CallersConfig{})
			for range 3 { // the failure is remembered
				if caller, err := lookup(t, callers, ":1.5"); caller != nil || !errors.Is(err, access.ErrNoIdentity) {
					t.Fatalf("got %v, %v, want ErrNoIdentity", caller, err)
				}
			}
			if asked := bus.timesAsked(":1.5"); asked != 1 {
				t.Errorf("the bus was asked %d times, want 1", asked)
			}
		})
	}
}

func TestLookupOfOtherNames(t *testing.T) {
	bus, client := startFakeBus(t, good)
	callers, _ := runCallers(t, client, access.CallersConfig{})
	for _, name := range []string{"", ":", "org.qemu.VM1", "org.freedesktop.DBus", ":" + strings.Repeat("1", 255)} {
		if _, err := callers.Lookup(name, nil); !errors.Is(err, access.ErrNoIdentity) {
			t.Errorf("Lookup(%q): %v, want ErrNoIdentity", name, err)
		}
		if bus.timesAsked(name) != 0 {
			t.Errorf("the bus was asked for %q", name)
		}
	}
}

func TestLookupOnce(t *testing.T) {
	bus, client := startFakeBus(t, good)
	callers, _ := runCallers(t, client, access.CallersConfig{})
	first, err := lookup(t, callers, ":1.5")
	if err != nil || first.UID != 1000 || first.Name != ":1.5" {
		t.Fatalf("got %v, %v", first, err)
	}
	if second, err := callers.Lookup(":1.5", nil); second != first || err != nil {
		t.Errorf("second lookup: %p, %v, want %p", second, err, first)
	}
	if asked := bus.timesAsked(":1.5"); asked != 1 {
		t.Errorf("the bus was asked %d times, want 1", asked)
	}
}

func TestFailureIsRetriedAfterASecond(t *testing.T) {
	var calls atomic.Int32
	_, client := startFakeBus(t, func(call *dbus.Message) *dbus.Message {
		if calls.Add(1) == 1 {
			return errorTo(call, "org.freedesktop.DBus.Error.NoMemory")
		}
		return good(call)
	})
	callers, _ := runCallers(t, client, access.CallersConfig{})
	if _, err := lookup(t, callers, ":1.5"); !errors.Is(err, access.ErrNoIdentity) {
		t.Fatalf("first: %v, want ErrNoIdentity", err)
	}
	time.Sleep(1100 * time.Millisecond)
	if _, err := lookup(t, callers, ":1.5"); err != nil {
		t.Errorf("after a second: %v", err)
	}
}

func TestNameThatGoesIsForgotten(t *testing.T) {
	gone := make(chan string, 8)
	bus, client := startFakeBus(t, good)
	callers, _ := runCallers(t, client, access.CallersConfig{OnGone: func(name string) { gone <- name }})
	if _, err := lookup(t, callers, ":1.5"); err != nil {
		t.Fatal(err)
	}
	// None of these says that :1.5 has gone.
	bus.nameOwnerChanged(":1.7", ":1.5", ":1.5", "")
	bus.nameOwnerChanged("org.freedesktop.DBus", ":1.5", "", ":1.5")
	bus.nameOwnerChanged("org.freedesktop.DBus", "org.qemu.VM1", ":1.5", "")
	bus.nameOwnerChanged("org.freedesktop.DBus", ":1.5")
	bus.nameOwnerChanged("org.freedesktop.DBus", uint32(1), uint32(2), uint32(3))
	bus.nameOwnerChanged("org.freedesktop.DBus", ":1.6", ":1.6", "")
	if name := within(t, gone); name != ":1.6" {
		t.Fatalf("%q has gone, want :1.6", name)
	}
	if _, err := callers.Lookup(":1.5", nil); err != nil {
		t.Errorf("after signals about others: %v", err)
	}
	bus.nameOwnerChanged("org.freedesktop.DBus", ":1.5", ":1.5", "")
	if name := within(t, gone); name != ":1.5" {
		t.Fatalf("%q has gone, want :1.5", name)
	}
	if _, err := lookup(t, callers, ":1.5"); err != nil || bus.timesAsked(":1.5") != 2 {
		t.Errorf("afterwards: %v, asked %d times, want 2", err, bus.timesAsked(":1.5"))
	}
}

func TestNameGoesDuringTheLookup(t *testing.T) {
	asked := make(chan *dbus.Message, 1)
	bus, client := startFakeBus(t, func(call *dbus.Message) *dbus.Message {
		asked <- call
		return nil
	})
	callers, _ := runCallers(t, client, access.CallersConfig{})
	ready := make(chan struct{})
	if _, err := callers.Lookup(":1.5", func() { close(ready) }); err != access.ErrPending {
		t.Fatalf("first: %v, want ErrPending", err)
	}
	call := within(t, asked)
	bus.nameOwnerChanged("org.freedesktop.DBus", ":1.5", ":1.5", "")
	within(t, ready)
	bus.send(good(call)) // too late
	for range 50 {
		if caller, err := callers.Lookup(":1.5", nil); caller != nil || !errors.Is(err, access.ErrNoIdentity) {
			t.Fatalf("after it went: %v, %v, want ErrNoIdentity", caller, err)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestWaitingIsBounded(t *testing.T) {
	_, client := startFakeBus(t, silent)
	callers, stop := runCallers(t, client, access.CallersConfig{})
	var ready atomic.Int32
	for i := range 256 {
		if _, err := callers.Lookup(":1.5", func() { ready.Add(1) }); err != access.ErrPending {
			t.Fatalf("call %d: %v, want ErrPending", i, err)
		}
	}
	if _, err := callers.Lookup(":1.5", func() { ready.Add(1) }); err != access.ErrLimit {
		t.Errorf("one more: %v, want ErrLimit", err)
	}
	_ = stop()
	if ready.Load() != 256 {
		t.Errorf("%d of 256 were called back", ready.Load())
	}
}

func TestCallersAreBounded(t *testing.T) {
	release := make(chan struct{})
	bus, client := startFakeBus(t, func(call *dbus.Message) *dbus.Message {
		<-release
		return good(call)
	})
	callers, _ := runCallers(t, client, access.CallersConfig{})
	var settled atomic.Int32
	all := make(chan struct{})
	for i := range 1024 {
		ready := func() {
			if settled.Add(1) == 1024 {
				close(all)
			}
		}
		if _, err := callers.Lookup(fmt.Sprintf(":2.%d", i), ready); err != access.ErrPending {
			t.Fatalf("caller %d: %v, want ErrPending", i, err)
		}
	}
	if _, err := callers.Lookup(":3.0", nil); err != access.ErrLimit {
		t.Errorf("caller 1025 while all are looked up: %v, want ErrLimit", err)
	}
	close(release)
	within(t, all)
	// Used last from here on. On a busy machine its lookup may have had no answer within a second, which
	// is remembered for another.
	for tries := 0; ; tries++ {
		_, err := lookup(t, callers, ":2.0")
		if err == nil {
			break
		}
		if tries == 300 {
			t.Fatalf("lookup of the first: %v", err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	if _, err := lookup(t, callers, ":3.0"); err != nil {
		t.Errorf("caller 1025: %v", err)
	}
	if _, err := callers.Lookup(":2.0", nil); err != nil {
		t.Errorf("the caller used last was dropped: %v", err)
	}
	before := bus.timesAsked(":2.1") // once; on a busy machine its turn may not have come in a second
	if _, err := lookup(t, callers, ":2.1"); err != nil || bus.timesAsked(":2.1") != before+1 {
		t.Errorf("the oldest: %v, asked %d times more, want once", err, bus.timesAsked(":2.1")-before)
	}
}

// A bus that does not answer gets 16 questions and no more.
func TestQuestionsAreBounded(t *testing.T) {
	bus, client := startFakeBus(t, silent)
	callers, _ := runCallers(t, client, access.CallersConfig{})
	for i := range 17 {
		if _, err := callers.Lookup(fmt.Sprintf(":2.%d", i), func() {}); err != access.ErrPending {
			t.Fatal(err)
		}
	}
	if _, err := lookup(t, callers, ":2.16"); !errors.Is(err, access.ErrNoIdentity) {
		t.Errorf("got %v, want ErrNoIdentity", err)
	}
	asked := 0
	for i := range 17 {
		asked += bus.timesAsked(fmt.Sprintf(":2.%d", i))
	}
	if asked != 16 {
		t.Errorf("the bus was asked %d times, want 16", asked)
	}
}

func TestRunEnds(t *testing.T) {
	t.Run("by its context", func(t *testing.T) {
		_, client := startFakeBus(t, silent)
		callers, stop := runCallers(t, client, access.CallersConfig{})
		ready := make(chan struct{})
		if _, err := callers.Lookup(":1.5", func() { close(ready) }); err != access.ErrPending {
			t.Fatal(err)
		}
		if err := stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
		within(t, ready)
		if _, err := callers.Lookup(":1.5", nil); !errors.Is(err, access.ErrNoIdentity) {
			t.Errorf("afterwards: %v, want ErrNoIdentity", err)
		}
	})
	t.Run("with the bus", func(t *testing.T) {
		bus, client := startFakeBus(t, good)
		callers := access.NewCallers(client, access.CallersConfig{})
		ended := make(chan error, 1)
		go func() { ended <- callers.Run(t.Context()) }()
		if _, err := lookup(t, callers, ":1.5"); err != nil {
			t.Fatal(err)
		}
		bus.conn.Close()
		if err := within(t, ended); err == nil {
			t.Error("Run returned no error")
		}
		if _, err := callers.Lookup(":1.5", nil); !errors.Is(err, access.ErrNoIdentity) {
			t.Errorf("afterwards: %v, want ErrNoIdentity", err)
		}
	})
}

// openFDs is how many fds this process has open.
func openFDs(t *testing.T) int {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(fds)
}

// Newer buses pass a pidfd (ProcessFD). It is closed, also when it comes after the time limit.
func TestProcessFDIsClosed(t *testing.T) {
	for _, tt := range []struct {
		name  string
		delay time.Duration
	}{{"in time", 0}, {"late", 1200 * time.Millisecond}} {
		t.Run(tt.name, func(t *testing.T) {
			asked := make(chan *dbus.Message, 1)
			bus, client := startFakeBus(t, func(call *dbus.Message) *dbus.Message {
				asked <- call
				return nil
			})
			callers, _ := runCallers(t, client, access.CallersConfig{})
			before := openFDs(t)
			if _, err := callers.Lookup(":1.5", func() {}); err != access.ErrPending {
				t.Fatal(err)
			}
			call := within(t, asked)
			time.Sleep(tt.delay)
			reply := goodCredentials()
			reply["ProcessFD"] = dbus.MakeVariant(dbus.UnixFD(os.Stdin.Fd()))
			message := replyTo(call, reply)
			message.Headers[dbus.FieldUnixFDs] = dbus.MakeVariant(uint32(1))
			bus.send(message, int(os.Stdin.Fd()))
			// The answer to a second lookup comes after the first one's.
			if _, err := callers.Lookup(":1.6", func() {}); err != access.ErrPending {
				t.Fatal(err)
			}
			within(t, asked)
			for range 100 {
				if openFDs(t) == before {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
			t.Errorf("%d fds are open, want %d", openFDs(t), before)
		})
	}
}

// TestCallersLimit has a caller more than are known at a time: the one that was not asked for the longest is looked
// up anew.
func TestCallersLimit(t *testing.T) {
	bus, client := startFakeBus(t, good)
	callers, _ := runCallers(t, client, access.CallersConfig{Limit: 2})
	for _, name := range []string{":2.0", ":2.1", ":2.0", ":2.1", ":2.2"} {
		if _, err := lookup(t, callers, name); err != nil {
			t.Fatal(err)
		}
	}
	if callers.Known(":2.0") != nil || callers.Known(":2.1") == nil || callers.Known(":2.2").Name != ":2.2" {
		t.Error("want the last two known")
	}
	if _, err := lookup(t, callers, ":2.0"); err != nil || bus.timesAsked(":2.0") != 2 || bus.timesAsked(":2.1") != 1 {
		t.Errorf("%v, asked %d and %d times, want 2 and 1", err, bus.timesAsked(":2.0"), bus.timesAsked(":2.1"))
	}
}
