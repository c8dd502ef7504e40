package e2e_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"qmp-dbus-bridge/e2e/rig"
)

// ownDevices lets each of two helpers remove its own device and no other.
const ownDevices = `
@id("first") permit (principal in User::"7", action == Action::"device_del", resource)
when { ["id"].containsAll(context.argumentNames) && context.arguments.id == "first0" };
@id("second") permit (principal in User::"10", action == Action::"device_del", resource)
when { ["id"].containsAll(context.argumentNames) && context.arguments.id == "second0" };
`

// TestEachUID has QEMU, its bus, the bridge, two helpers, a UI, a viewer, a stranger and root, each a uid of its own, on
// one machine, and each try what the others may: who is who is decided by uid alone.
func TestEachUID(t *testing.T) {
	rig.RequireRoot(t)
	for name, start := range configured {
		t.Run(name, func(t *testing.T) {
			bus := start(t, busConfig(t, slices.Concat(castUsers, castGrants, []string{"--bus-user=list"})...))
			vm := startQEMUAs(t, cast.qemu, rig.QEMU{Args: []string{
				"-device", "virtio-rng-pci,id=first0", "-device", "virtio-rng-pci,id=second0",
			}})
			policy := filepath.Join(rig.TempDir(t), "own.cedar")
			if err := os.WriteFile(policy, []byte(ownDevices), 0o644); err != nil {
				t.Fatal(err)
			}
			p := rig.Start(t, cast.bridge.Command(program, slices.Concat(
				[]string{"serve", "--qmp", vm.Monitors[0], "--bus", bus.Address, "--audit", "none", "--policy", policy}, castGrants)...))
			p.WaitOutput(t, "bus=")
			t.Cleanup(func() { noRaces(t, p) })
			uids := map[uint32]string{0: "root"}
			for what, pid := range map[string]int{"QEMU": vm.PID(), "the bus": bus.Server, "the bridge": p.PID()} {
				uid := rig.UID(t, pid)
				if uids[uid] != "" {
					t.Errorf("uid %d is %s and %s", uid, uids[uid], what)
				}
				uids[uid] = what
			}
			if conn, err := cast.stranger.Dial(bus.Address); err == nil {
				conn.Close()
				t.Error("a stranger may connect")
			}
			commands := []struct{ name, arguments string }{
				{"query-status", ""},
				{"cont", ""},
				{"query-block", ""},
				{"device_del", `{"id":"first0"}`},
				{"device_del", `{"id":"second0"}`},
				{"human-monitor-command", `{"command-line":"info status"}`},
				{"qmp_capabilities", ""},
			}
			for _, who := range []struct {
				name string
				user rig.User
				may  string // of commands, '+' for those that are executed
			}{
				{"QEMU", cast.qemu, "-------"},
				{"viewer", cast.viewer, "+------"},
				{"first helper", cast.helpers[0], "+--+---"},
				{"second helper", cast.helpers[1], "+---+--"},
				{"UI", cast.ui, "++-----"},
				{"the bridge's uid", cast.bridge, "++++++-"},
				{"root", rig.Root, "++++++-"},
			} {
				object := who.user.MustDial(t, bus.Address).Object(busName, qmpPath)
				for i, command := range commands {
					err := object.Call(qmpIf+".CallJson", 0, command.name, command.arguments).Err
					if denied := errorName(err) == dbusError+"AccessDenied"; denied != (who.may[i] == '-') {
						t.Errorf("%s: %s %s: %v", who.name, command.name, command.arguments, err)
					}
				}
			}
		})
	}
}
