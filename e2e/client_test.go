package e2e_test

import (
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"qmp-dbus-bridge/e2e/rig"
)

// client calls typed methods and sees all events.
type client struct {
	conn   *dbus.Conn
	events <-chan *dbus.Signal
}

func dial(t testing.TB, b *bridge) *client {
	t.Helper()
	conn := rig.Self().MustDial(t, b.address)
	return &client{conn, watch(t, conn, dbus.WithMatchInterface(eventsIf))}
}

// subscribe asks for an event that is not sent to all.
func (c *client) subscribe(t testing.TB, event string) {
	t.Helper()
	if err := c.conn.Object(busName, vmPath).Call(busName+".Subscribe", 0, []string{event}).Err; err != nil {
		t.Fatalf("Subscribe(%s): %v", event, err)
	}
}

// call calls a typed method, which must succeed, and returns its result, if it has one.
func (c *client) call(t testing.TB, member string, args ...any) any {
	t.Helper()
	call := c.conn.Object(busName, qmpPath).Call(qmpIf+"."+member, 0, args...)
	if call.Err != nil {
		t.Fatalf("%s%v: %v", member, args, call.Err)
	}
	if len(call.Body) == 0 {
		return nil
	}
	return call.Body[0]
}

// object calls a method of an object below /org/qemu/VM1, such as Block.Resize of block/disk0. It must succeed; its result
// is that of call.
func (c *client) object(t testing.TB, path, method string, args ...any) any {
	t.Helper()
	call := c.conn.Object(busName, vmPath+"/"+dbus.ObjectPath(path)).Call(busName+"."+method, 0, args...)
	if call.Err != nil {
		t.Fatalf("%s of %s%v: %v", method, path, args, call.Err)
	}
	if len(call.Body) == 0 {
		return nil
	}
	return call.Body[0]
}

// event waits for an event whose data has a value under key.
func (c *client) event(t testing.TB, member, key string, value any) {
	t.Helper()
	patience := time.After(rig.Timeout)
	for {
		select {
		case s := <-c.events:
			if s.Name == eventsIf+"."+member && s.Body[0].(map[string]dbus.Variant)[key].Value() == value {
				return
			}
		case <-patience:
			t.Fatalf("no signal %s with %s = %v within %v", member, key, value, rig.Timeout)
		}
	}
}

// options are the last argument of a typed method.
func options(pairs ...any) map[string]dbus.Variant {
	dict := map[string]dbus.Variant{}
	for i := 0; i < len(pairs); i += 2 {
		dict[pairs[i].(string)] = dbus.MakeVariant(pairs[i+1])
	}
	return dict
}
