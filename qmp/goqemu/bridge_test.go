package goqemu_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/godbus/dbus/v5"

	"qmp-dbus-bridge/e2e/rig"
	"qmp-dbus-bridge/qmp/fdtest"
	"qmp-dbus-bridge/qmp/goqemu"
)

const (
	vmPath    = goqemu.DefaultObjectPath
	qmpPath   = dbus.ObjectPath("/org/qemu/VM1/QMP")
	eventsIf  = "org.qemu.VM1.QMP.Events"
	dbusError = "org.freedesktop.DBus.Error."
)

// events that the introspection of the fake bridge has.
const introspection = `<node>
<interface name="org.qemu.VM1.QMP">
<signal name="Stop"><annotation name="org.qemu.VM1.QMP.EventName" value="WRONG"/></signal>
</interface>
<interface name="org.qemu.VM1.QMP.Events">
<signal name="DeviceDeleted">
<annotation name="other" value="x"/><annotation name="org.qemu.VM1.QMP.EventName" value="DEVICE_DELETED"/>
</signal>
<signal name="AcmeX1"><annotation name="org.qemu.VM1.QMP.EventName" value="__ACME_X-1"/></signal>
<signal name="Lost"/>
</interface></node>`

// bridge is a fake one on a real bus, with a connection of its own.
type bridge struct {
	*dbus.Conn
	bus   *rig.Bus
	asked chan string // what was subscribed to, or no more with a minus

	mu sync.Mutex // guards how it behaves
	behaviour
}

// behaviour is what the fake does.
type behaviour struct {
	answer func(command, arguments string) (string, *dbus.Error) // of CallJson; nil tells what came
	refuse *dbus.Error                                           // Subscribe
	failed *dbus.Error                                           // Introspect
	held   chan struct{}                                         // Introspect, until it is closed
}

func (b *bridge) behave(as behaviour) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.behaviour = as
}

func (b *bridge) now() behaviour {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.behaviour
}

// startBridge starts a bus and a bridge on it. At the test's end no file descriptor may be left.
func startBridge(t testing.TB) *bridge {
	t.Helper()
	fdtest.Check(t)
	b := &bridge{bus: rig.StartDaemon(t, rig.Permissive), asked: make(chan string, 100)}
	b.join(t)
	return b
}

// join takes the name.
func (b *bridge) join(t testing.TB) {
	t.Helper()
	b.Conn = rig.Self().MustDial(t, b.bus.Address)
	for path, methods := range map[dbus.ObjectPath]map[string]map[string]any{
		qmpPath: {
			"org.qemu.VM1.QMP":                    {"CallJson": b.callJSON},
			"org.freedesktop.DBus.Introspectable": {"Introspect": b.introspect},
		},
		vmPath: {"org.qemu.VM1": {"Subscribe": b.subscribe, "Unsubscribe": b.unsubscribe}},
	} {
		for name, table := range methods {
			if err := b.ExportMethodTable(table, path, name); err != nil {
				t.Fatal(err)
			}
		}
	}
	reply, err := b.RequestName(goqemu.DefaultBusName, dbus.NameFlagDoNotQueue)
	if err != nil || reply != dbus.RequestNameReplyPrimaryOwner {
		t.Fatalf("RequestName: %v, %v", reply, err)
	}
}

func (b *bridge) callJSON(command, arguments string) (string, *dbus.Error) {
	if answer := b.now().answer; answer != nil {
		return answer(command, arguments)
	}
	return fmt.Sprintf(`{"command": %q, "arguments": %q}`, command, arguments), nil
}

func (b *bridge) introspect() (string, *dbus.Error) {
	now := b.now()
	if now.held != nil {
		<-now.held
	}
	return introspection, now.failed
}

func (b *bridge) subscribe(names []string) *dbus.Error {
	b.asked <- strings.Join(names, " ")
	return b.now().refuse
}

func (b *bridge) unsubscribe(names []string) *dbus.Error {
	b.asked <- "-" + strings.Join(names, " ")
	return nil
}

// emit sends an event's signal to all.
func (b *bridge) emit(t testing.TB, member string, body ...any) {
	t.Helper()
	emit(t, b.Conn, eventsIf+"."+member, body...)
}

func emit(t testing.TB, from *dbus.Conn, name string, body ...any) {
	t.Helper()
	if err := from.Emit(qmpPath, name, body...); err != nil {
		t.Fatal(err)
	}
}

// data is an event's, of pairs.
func data(pairs ...any) map[string]dbus.Variant {
	made := map[string]dbus.Variant{}
	for i := 0; i < len(pairs); i += 2 {
		made[pairs[i].(string)] = dbus.MakeVariant(pairs[i+1])
	}
	return made
}

func refusal(name string, body ...any) *dbus.Error { return dbus.NewError(name, body) }
