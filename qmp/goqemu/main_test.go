package goqemu_test

import (
	"context"
	"testing"
	"time"

	goqmp "github.com/digitalocean/go-qemu/qmp"
	"go.uber.org/goleak"

	"qmp-dbus-bridge/qmp/goqemu"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what should come at once, on a machine with other work.
const patience = time.Minute

// connect connects a monitor, until the test ends.
func connect(t testing.TB, m goqmp.Monitor) {
	t.Helper()
	if err := m.Connect(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Disconnect() })
}

// events gives a monitor's events, until the test ends.
func events(t testing.TB, m *goqemu.Monitor) <-chan goqmp.Event {
	t.Helper()
	ch, err := m.Events(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return ch
}

// receive takes from a channel, but not for ever; open is false if that is closed.
func receive[T any](t testing.TB, ch <-chan T) (value T, open bool) {
	t.Helper()
	select {
	case value, open = <-ch:
		return value, open
	case <-time.After(patience):
		t.Fatal("nothing came")
		panic("not reached")
	}
}

// event takes an event, which must come.
func event(t testing.TB, ch <-chan goqmp.Event) goqmp.Event {
	t.Helper()
	e, open := receive(t, ch)
	if !open {
		t.Fatal("no event came, but the end")
	}
	return e
}

// ended fails unless the channel ends without another value.
func ended[T any](t testing.TB, ch <-chan T) {
	t.Helper()
	if v, open := receive(t, ch); open {
		t.Errorf("%v came, want the end", v)
	}
}
