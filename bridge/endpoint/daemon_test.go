package endpoint_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"

	"qmp-dbus-bridge/bridge/endpoint"
	"qmp-dbus-bridge/e2e/rig"
	"qmp-dbus-bridge/qmp/fdtest"
	"qmp-dbus-bridge/schema/wire"
)

// busName is what serveDaemon owns.
const busName = "org.example"

// startDaemon starts a dbus-daemon of the test's own and returns its address.
func startDaemon(t testing.TB) string {
	t.Helper()
	fdtest.Check(t)
	return rig.StartDaemon(t, rig.Permissive).Address
}

// serveDaemon serves h as org.example on a dbus-daemon, and gives a client of it.
func serveDaemon(t testing.TB, h endpoint.Handler) (*endpoint.Conn, *dbus.Conn) {
	t.Helper()
	address := startDaemon(t)
	c, err := endpoint.Dial(t.Context(), address, quiet)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.RequestName(t.Context(), busName); err != nil {
		t.Fatal(err)
	}
	serve(t, c, h)
	client, err := dbus.Connect(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return c, client
}

func TestDaemonCalls(t *testing.T) {
	_, client := serveDaemon(t, handler(func(c *endpoint.Call) endpoint.Verdict {
		if c.Member == "Fail" {
			c.Fail("org.example.Error", "why")
			return endpoint.Accepted
		}
		return echo(c)
	}))
	object := client.Object(busName, "/org/example")
	for _, want := range []string{"", "grüezi", strings.Repeat("x", 1<<20)} {
		var got string
		if err := object.Call("org.example.Echo", 0, want).Store(&got); err != nil || got != want {
			t.Errorf("Echo of %d bytes gives %d, %v", len(want), len(got), err)
		}
	}
	var failure dbus.Error
	err := object.Call("org.example.Fail", 0).Err
	if !errors.As(err, &failure) || failure.Name != "org.example.Error" || failure.Error() != "why" {
		t.Errorf("Fail gives %v, want org.example.Error: why", err)
	}
	err = object.Call("org.example.Echo", 0, strings.Repeat("x", endpoint.MaxMessage)).Err
	if !errors.As(err, &failure) || failure.Name != limitsExceeded {
		t.Errorf("too large a call gives %v, want %s", err, limitsExceeded)
	}
}

func TestDaemonOrder(t *testing.T) {
	const n = 2000
	h := hold()
	_, client := serveDaemon(t, h)
	object := client.Object(busName, "/org/example")
	replies := make(chan *dbus.Call, n)
	var want []string
	for i := range n {
		want = append(want, fmt.Sprint(client.Names()[0], " ", i))
		object.Go("org.example.Echo", 0, replies, fmt.Sprint(i))
	}
	for range n {
		if reply := receive(t, replies); reply.Err != nil {
			t.Fatal(reply.Err)
		}
	}
	if got := h.handled(); !slices.Equal(got, want) {
		t.Errorf("order %q", got)
	}
}

func TestDaemonFDs(t *testing.T) {
	taken := make(chan []int, 1)
	_, client := serveDaemon(t, handler(func(c *endpoint.Call) endpoint.Verdict {
		if c.Member == "Take" {
			taken <- c.TakeFDs()
		}
		return echo(c)
	}))
	object := client.Object(busName, "/org/example")
	for _, tt := range []struct {
		member string
		take   int
		fail   bool
	}{{"Take", 2, false}, {"Leave", 2, false}, {"TooMany", endpoint.MaxCallFDs + 1, true}} {
		writers, readers := pipes(t, tt.take)
		var args []any
		for _, fd := range writers {
			args = append(args, dbus.UnixFD(fd))
		}
		err := object.Call("org.example."+tt.member, 0, args...).Err
		if (err != nil) != tt.fail {
			t.Errorf("%s: %v", tt.member, err)
		}
		closeFDs(writers)
		if tt.member == "Take" {
			wantOpen(t, readers)
			fds := receive(t, taken)
			if len(fds) != tt.take {
				t.Errorf("got %d descriptors, want %d", len(fds), tt.take)
			}
			closeFDs(fds)
		}
		wantClosed(t, readers)
	}
}

func TestDaemonSignals(t *testing.T) {
	c, client := serveDaemon(t, echo)
	if err := client.AddMatchSignal(dbus.WithMatchInterface("org.example")); err != nil {
		t.Fatal(err)
	}
	var owner string
	if err := client.BusObject().Call("org.freedesktop.DBus.GetNameOwner", 0, busName).Store(&owner); err != nil {
		t.Fatal(err)
	}
	signals := make(chan *dbus.Signal, 2)
	client.Signal(signals)
	for _, destination := range []string{"", client.Names()[0]} {
		err := c.Signal(destination, "/org/example", "org.example", "Happened", "su", func(e *wire.Encoder) error {
			e.String("what")
			e.Uint32(7)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		got := receive(t, signals)
		want := dbus.Signal{
			Sender: owner, Path: "/org/example", Name: "org.example.Happened",
			Body: []any{"what", uint32(7)}, Sequence: got.Sequence,
		}
		if fmt.Sprint(*got) != fmt.Sprint(want) {
			t.Errorf("signal %v, want %v", *got, want)
		}
	}
}

func TestDaemonNames(t *testing.T) {
	address := startDaemon(t)
	c, err := endpoint.Dial(t.Context(), address, quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	client, err := dbus.Connect(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	if _, err := client.RequestName("org.example.Taken", 0); err != nil {
		t.Fatal(err)
	}
	if err := c.RequestName(t.Context(), "org.example.Taken"); !errors.Is(err, endpoint.ErrNameTaken) {
		t.Errorf("RequestName of a taken name = %v, want %v", err, endpoint.ErrNameTaken)
	}
	if err := c.RequestName(t.Context(), "org"); err == nil || errors.Is(err, endpoint.ErrNameTaken) {
		t.Errorf("RequestName of no name = %v", err)
	}
	if err := c.RequestName(t.Context(), "org.example"); err != nil {
		t.Fatal(err)
	}
	ended := serve(t, c, echo)
	var got string
	if err := client.Object("org.example", "/").Call("org.example.Echo", 0, "x").Store(&got); err != nil || got != "x" {
		t.Errorf("Echo gives %q, %v", got, err)
	}
	// We are not to be replaced, nobody waits for the name, and signals can be forged, but not the sender.
	if reply, err := client.RequestName("org.example", dbus.NameFlagReplaceExisting|dbus.NameFlagDoNotQueue); err != nil || reply != dbus.RequestNameReplyExists {
		t.Errorf("RequestName by another = %v, %v", reply, err)
	}
	if err := client.Emit("/org/freedesktop/DBus", "org.freedesktop.DBus.NameLost", "org.example"); err != nil {
		t.Error(err)
	}
	if err := client.Object("org.example", "/").Call("org.example.Echo", 0, "y").Store(&got); err != nil || got != "y" {
		t.Errorf("Echo gives %q, %v", got, err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	receive(t, ended)
}
