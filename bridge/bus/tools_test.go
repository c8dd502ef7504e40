package bus_test

import (
	"os/exec"
	"strings"
	"testing"

	"qmp-dbus-bridge/bridge/bus"
	"qmp-dbus-bridge/e2e/rig"
)

const pythonClient = `
import dbus, dbus.bus, sys
o = dbus.bus.BusConnection(sys.argv[1]).get_object("org.qemu.VM1", "/org/qemu/VM1")
print(o.Echo("with interface", dbus_interface="org.qemu.VM1"))
print(o.Echo("introspected"))
print(dbus.Interface(o, "org.freedesktop.DBus.Properties").Get("org.qemu.VM1", "Status"))
`

// python is Debian's, which has python3-dbus; another may come first in PATH.
const python = "/usr/bin/python3"

// tools are what people use on a bus. ADDRESS is the bus's.
var tools = []struct {
	name   string
	words  string
	status int
	want   string
}{
	{"busctl call", "busctl --address=ADDRESS call org.qemu.VM1 /org/qemu/VM1 org.qemu.VM1 Echo s hello", 0, `s "hello"`},
	{"busctl get-property", "busctl --address=ADDRESS get-property org.qemu.VM1 /org/qemu/VM1 org.qemu.VM1 Status", 0, `s "running"`},
	{"busctl introspect", "busctl --address=ADDRESS introspect org.qemu.VM1 /org/qemu/VM1", 0, `.Status                             property  s         "running"`},
	{"busctl tree", "busctl --address=ADDRESS tree org.qemu.VM1", 0, "/org/qemu/VM1"},
	{"busctl tree of all", "busctl --address=ADDRESS tree", 0, "Service org.qemu.VM1"},
	{"busctl list", "busctl --address=ADDRESS list", 0, "org.qemu.VM1"},
	{"gdbus call", "gdbus call -a ADDRESS -d org.qemu.VM1 -o /org/qemu/VM1 -m org.qemu.VM1.Echo hello", 0, "('hello',)"},
	{"gdbus introspect", "gdbus introspect -a ADDRESS -d org.qemu.VM1 -o /org/qemu/VM1", 0, "readonly s Status = 'running'"},
	{"dbus-send", "dbus-send --bus=ADDRESS --print-reply --dest=org.qemu.VM1 /org/qemu/VM1 org.qemu.VM1.Echo string:hello", 0, `string "hello"`},
}

func TestTools(t *testing.T) {
	rig.Require(t, "busctl", "gdbus", "dbus-send", "setpriv")
	onEachBus(t, func(t *testing.T, address string) {
		serve(t, bridge, address, bus.DefaultBusName)
		for _, u := range []rig.User{rig.Alice, rig.Root} {
			for _, tool := range tools {
				words := strings.Fields(strings.Replace(tool.words, "ADDRESS", address, 1))
				printed, status := rig.Run(t, u.Command(words[0], words[1:]...))
				if status != tool.status || !strings.Contains(printed, tool.want) {
					t.Errorf("%s as uid %d: status %d, want %d with %q:\n%s", tool.name, u.UID, status, tool.status, tool.want, printed)
				}
			}
		}
	})
}

func TestPython(t *testing.T) {
	rig.Require(t, "setpriv", python)
	if _, status := rig.Run(t, exec.Command(python, "-c", "import dbus")); status != 0 {
		rig.Lacking(t, "not installed: python3-dbus")
	}
	onEachBus(t, func(t *testing.T, address string) {
		serve(t, bridge, address, bus.DefaultBusName)
		printed, status := rig.Run(t, rig.Alice.Command(python, "-c", pythonClient, address))
		if want := "with interface\nintrospected\nrunning\n"; status != 0 || printed != want {
			t.Errorf("status %d, want %q:\n%s", status, want, printed)
		}
	})
}

func TestGDBusMonitor(t *testing.T) {
	rig.Require(t, "gdbus", "setpriv")
	onEachBus(t, func(t *testing.T, address string) {
		conn := serve(t, bridge, address, bus.DefaultBusName)
		monitor := rig.Start(t, rig.Alice.Command("gdbus", "monitor", "-a", address, "-d", "org.qemu.VM1"))
		monitor.WaitOutput(t, "is owned by")
		rig.Eventually(t, "gdbus monitor shows a signal", func() bool { // it says that before it subscribes
			emit(t, conn, "", "org.qemu.VM1.QMP.Events.Stop")
			return strings.Contains(monitor.Output(), "org.qemu.VM1.QMP.Events.Stop ()")
		})
	})
}

// TestList: what the bus tells of others, it tells to root only.
func TestList(t *testing.T) {
	rig.Require(t, "busctl", "setpriv")
	onEachBus(t, func(t *testing.T, address string) {
		serve(t, bridge, address, bus.DefaultBusName)
		for u, want := range map[rig.User]string{rig.Alice: "-", rig.Root: "mail"} {
			printed, _ := rig.Run(t, u.Command("busctl", "--address="+address, "list", "--no-legend"))
			if got := ownerColumn(printed); got != want {
				t.Errorf("uid %d sees the bridge's user as %q, want %q:\n%s", u.UID, got, want, printed)
			}
		}
	})
}

// ownerColumn is USER of the bridge in busctl's list: NAME PID PROCESS USER ...
func ownerColumn(list string) string {
	for line := range strings.Lines(list) {
		if f := strings.Fields(line); len(f) > 3 && f[0] == bus.DefaultBusName {
			return f[3]
		}
	}
	return ""
}
