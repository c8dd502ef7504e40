package bridge_test

import (
	"encoding/binary"
	"encoding/json"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"

	"qmp-dbus-bridge/e2e/rig"
)

// TestDispatchErrors has calls of what is not there, by one who may ask.
func TestDispatchErrors(t *testing.T) {
	m := newMachine(t, nil)
	w := serve(t, m)
	raw := rig.DialRaw(t, admin, w.bus.Address)
	const peerIf, managerIf, qmpIf = "org.freedesktop.DBus.Peer", "org.freedesktop.DBus.ObjectManager", "org.qemu.VM1.QMP"
	for _, test := range []struct {
		path          dbus.ObjectPath
		iface, member string
		args          []any
		want          string
	}{
		{vmPath, "", "Pause", nil, "UnknownInterface"},
		{vmPath, "", "Get", []any{busName, "Status"}, "UnknownInterface"},
		{qmpPath, "", "Call", []any{"stop", none}, "UnknownInterface"},
		{"/", busName, "Pause", nil, "UnknownInterface"},
		{"/org/qemu/VM1/QMP/x", busName, "Pause", nil, "UnknownObject"},
		{"/org/qemu/VM", busName, "Pause", nil, "UnknownObject"},
		{"/org/qemu/vm1", busName, "Pause", nil, "UnknownObject"},
		{"/org/qemu/VM1_2fQMP", qmpIf, "Call", []any{"stop", none}, "UnknownObject"},
		{qmpPath, busName, "Pause", nil, "UnknownInterface"},
		{vmPath, qmpIf, "Call", []any{"stop", none}, "UnknownInterface"},
		{vmPath, busName + ".Pause", "Pause", nil, "UnknownInterface"},
		{qmpPath, managerIf, "GetManagedObjects", nil, "UnknownInterface"},
		{vmPath, busName, "pause", nil, "UnknownMethod"},
		{vmPath, busName, "Pause_", nil, "UnknownMethod"},
		{vmPath, busName, "Status", nil, "UnknownMethod"},
		{vmPath, propsIf, "PropertiesChanged", []any{busName, none, []string{}}, "UnknownMethod"},
		{vmPath, busName, "Pause", []any{""}, "InvalidArgs"},
		{qmpPath, qmpIf, "Call", []any{"stop"}, "InvalidArgs"},
		{qmpPath, qmpIf, "Call", []any{"stop", map[string]string{}}, "InvalidArgs"},
		{qmpPath, qmpIf, "Call", []any{dbus.ObjectPath("/stop"), none}, "InvalidArgs"},
		{qmpPath, qmpIf, "Call", []any{"stop", none, none}, "InvalidArgs"},
		{vmPath, peerIf, "Ping", []any{true}, "InvalidArgs"},
		{vmPath, propsIf, "Get", []any{busName, "status"}, "UnknownProperty"},
		{vmPath, propsIf, "Get", []any{"", "Status"}, "UnknownInterface"},
		{vmPath, propsIf, "Get", []any{peerIf, "Status"}, "UnknownProperty"},
		{vmPath, propsIf, "GetAll", []any{"org.qemu.VM2"}, "UnknownInterface"},
		{vmPath, propsIf, "Set", []any{busName, "Status", dbus.MakeVariant("x")}, "PropertyReadOnly"},
		{vmPath, propsIf, "Set", []any{busName, "Nothing", dbus.MakeVariant("x")}, "UnknownProperty"},
	} {
		raw.Send(t, rig.CallMessage(busName, test.path, test.iface, test.member, test.args...))
		reply := raw.Reply(t)
		if got := reply.Headers[dbus.FieldErrorName].Value(); got != dbusError+test.want {
			t.Errorf("%s %s.%s%v: %v %v, want %s", test.path, test.iface, test.member, test.args, got, reply.Body, test.want)
		}
	}
	if got := m.commands(); got != nil {
		t.Errorf("QEMU was told %q, want nothing", got)
	}
}

// TestStandard has the standard methods answer on every object.
func TestStandard(t *testing.T) {
	w := serve(t, newMachine(t, nil))
	c := w.as(viewer)
	for _, path := range []dbus.ObjectPath{"/", "/org", "/org/qemu", vmPath, qmpPath} {
		if _, err := c.call(path, "org.freedesktop.DBus.Peer.Ping"); err != nil {
			t.Errorf("%s: Ping: %v", path, err)
		}
		if id, err := c.call(path, "org.freedesktop.DBus.Peer.GetMachineId"); err == nil && len(id.(string)) != 32 && id != "" {
			t.Errorf("%s: GetMachineId = %q", path, id)
		}
	}
	all, err := c.call(vmPath, propsIf+".GetAll", busName)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]any{}
	for name, v := range all.(map[string]dbus.Variant) {
		got[name] = v.Value()
		if one, err := c.call(vmPath, propsIf+".Get", busName, name); err != nil || one.(dbus.Variant).String() != v.String() {
			t.Errorf("Get %s = %v, %v, GetAll says %v", name, one, err, v)
		}
	}
	want := map[string]any{
		"Name": "vm7", "UUID": "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "Status": "running", "Running": true,
		"Connected": true, "Version": "7.2.22", "Target": "x86_64", "BridgeVersion": "1.2.3",
		"PolicyHash": w.policy().Hash(), "Machine": "pc-q35-7.2", "Accelerator": "tcg", "VCPUs": uint32(0),
		"MemorySize": uint64(0), "BalloonActual": uint64(0),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("GetAll (-want +got):\n%s", diff)
	}
	objects, err := c.call(vmPath, "org.freedesktop.DBus.ObjectManager.GetManagedObjects")
	if managed, ok := objects.(map[dbus.ObjectPath]map[string]map[string]dbus.Variant); !ok || len(managed) != 1 || managed[qmpPath] == nil {
		t.Errorf("GetManagedObjects = %v, %v, want %s", objects, err, qmpPath)
	}
}

// TestNoReply has calls that want no reply: they are executed, or denied, and not answered.
func TestNoReply(t *testing.T) {
	m := newMachine(t, nil)
	w := serve(t, m)
	raw := rig.DialRaw(t, admin, w.bus.Address)
	for _, message := range []dbus.Message{
		rig.CallMessage(busName, vmPath, busName, "Pause"),
		rig.CallMessage(busName, vmPath, busName, "NoSuchMethod"),
		rig.CallMessage(busName, vmPath, propsIf, "Get", busName, "Status"),
		rig.CallMessage(busName, qmpPath, "org.qemu.VM1.QMP", "Call", "cont", none),
		rig.CallMessage(busName, qmpPath, "org.qemu.VM1.QMP", "Call", "qmp_capabilities", none),
	} {
		message.Flags = dbus.FlagNoReplyExpected
		raw.Send(t, message)
	}
	if records := w.records(5); len(records) != 5 {
		t.Errorf("%d records, want 5", len(records))
	}
	if message := raw.Read(t, 50*time.Millisecond); message != nil && message.Type != dbus.TypeSignal {
		t.Errorf("an answer: %v", message)
	}
	if diff := cmp.Diff([]string{"stop", "cont"}, m.commands()); diff != "" {
		t.Errorf("QEMU was told (-want +got):\n%s", diff)
	}
}

// TestByteOrders has callers of both byte orders.
func TestByteOrders(t *testing.T) {
	m := newMachine(t, nil)
	w := serve(t, m)
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		raw := rig.DialRaw(t, admin, w.bus.Address)
		raw.Order = order
		raw.Send(t, rig.CallMessage(busName, qmpPath, "org.qemu.VM1.QMP", "Call", "balloon", map[string]dbus.Variant{
			"value": dbus.MakeVariant(uint64(1) << 33), "list": dbus.MakeVariant([]int32{-1, 2}), "text": dbus.MakeVariant("ä"),
			"deep": dbus.MakeVariant(map[string]dbus.Variant{"d": dbus.MakeVariant(1.5)}),
		}))
		if reply := raw.Reply(t); reply.Type != dbus.TypeMethodReply {
			t.Errorf("%v: %v", order, reply)
		}
		m.mu.Lock()
		got := string(m.arrived[len(m.arrived)-1].Arguments)
		m.mu.Unlock()
		if !sameJSON(t, got, `{"value":8589934592,"list":[-1,2],"text":"ä","deep":{"d":1.5}}`) {
			t.Errorf("%v: arguments %s", order, got)
		}
		raw.Send(t, rig.CallMessage(busName, vmPath, propsIf, "Get", busName, "Name"))
		if reply := raw.Reply(t); len(reply.Body) != 1 || reply.Body[0] != dbus.MakeVariant("vm7") {
			t.Errorf("%v: Get Name = %v", order, reply.Body)
		}
	}
}

// sameJSON compares values, whatever the order of members.
func sameJSON(t *testing.T, a, b string) bool {
	t.Helper()
	var x, y any
	if err := json.Unmarshal([]byte(a), &x); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(b), &y); err != nil {
		t.Fatal(err)
	}
	return cmp.Equal(x, y)
}
