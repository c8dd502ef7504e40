package e2e_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/godbus/dbus/v5"

	"qmp-dbus-bridge/e2e/rig"
)

// TestInheritedConnection has one uid connect and another send on that connection: on a bus, who calls is
// who has connected. So a launcher with more rights must not hand its connection on.
func TestInheritedConnection(t *testing.T) {
	besiege(t, func(t *testing.T, s *siege) {
		for _, test := range []struct {
			name              string
			connected, sender rig.User
			want              string
		}{
			{"a viewer on root's", rig.Root, viewer, ""},
			{"root on a viewer's", viewer, rig.Root, dbusError + "AccessDenied"},
			{"a stranger on an operator's", operator, rig.Mail, ""},
		} {
			r := s.as(test.connected)
			connection, err := r.File()
			if err != nil {
				t.Fatal(err)
			}
			cmd := test.sender.Command("sh", "-c", "cat >&3")
			cmd.ExtraFiles = []*os.File{connection}
			cmd.Stdin = bytes.NewReader(r.Encode(t, toBridge(vmPath, busName, "Reset")))
			if printed, status := rig.Run(t, cmd); status != 0 {
				t.Fatal(printed)
			}
			connection.Close()
			if got, _ := r.Reply(t).Headers[dbus.FieldErrorName].Value().(string); got != test.want {
				t.Errorf("%s: %q, want %q", test.name, got, test.want)
			}
		}
		if got := strings.Join(s.executed(), " "); got != "system_reset system_reset" {
			t.Errorf("QEMU was told %q, want two resets", got)
		}
	})
}

// TestUserNamespace has callers in a user namespace of their own, where they are root or nobody: they stay
// who they are.
func TestUserNamespace(t *testing.T) {
	rig.Require(t, "unshare", "busctl")
	besiege(t, func(t *testing.T, s *siege) {
		for _, unshare := range [][]string{{"--user", "--map-root-user"}, {"--user"}} {
			as := func(args ...string) (printed string, status int) {
				line := append(append(unshare, "busctl", "--address="+s.address), args...)
				return rig.Run(t, viewer.Command("unshare", line...))
			}
			if printed, status := as("get-property", busName, string(vmPath), busName, "Status"); status != 0 {
				if strings.Contains(printed, "unshare failed") {
					rig.Lacking(t, "user namespaces for ordinary users: "+printed)
				}
				t.Errorf("%v: a viewer's Status: %s", unshare, printed)
			}
			if printed, status := as("call", busName, string(vmPath), busName, "Pause"); status == 0 || !strings.Contains(printed, "Access denied") {
				t.Errorf("%v: a viewer's Pause: %q, want Access denied", unshare, printed)
			}
		}
		s.nothingExecuted()
	})
}

// TestUnmappedCaller has a bus in a user namespace that has no uid for a caller, and tells 65534 for it: that is
// nobody, whoever else was granted what.
func TestUnmappedCaller(t *testing.T) {
	rig.RequireRoot(t)
	rig.Require(t, "unshare", "busctl", "dbus-daemon")
	dir := rig.TempDir(t)
	config, address := filepath.Join(dir, "bus.conf"), "unix:path="+filepath.Join(dir, "bus")
	if err := os.WriteFile(config, []byte(rig.Permissive), 0o600); err != nil {
		t.Fatal(err)
	}
	rig.Start(t, exec.Command("unshare", "--user", "--map-root-user",
		"dbus-daemon", "--nofork", "--nopidfile", "--address="+address, "--config-file="+config))
	rig.Eventually(t, "the bus listens", func() bool {
		conn, err := rig.Root.Dial(address)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	audit := dir + "/audit"
	b := serveQEMU(t, rig.StartQEMU(t, rig.QEMU{}), append(grants, "--bus", address, "--audit", audit, "--grant", "viewer=gid:1")...)
	for _, user := range []rig.User{viewer, operator, admin, rig.Mail} {
		printed, status := rig.Run(t, user.Command("busctl", "--address="+b.address, "get-property", busName, string(vmPath), busName, "Status"))
		if status == 0 || !strings.Contains(printed, "Access denied") {
			t.Errorf("uid %d, unmapped: %q, want Access denied", user.UID, printed)
		}
	}
	rig.Eventually(t, "the audit has the denials", func() bool {
		text, err := os.ReadFile(audit)
		return err == nil && strings.Count(string(text), `"uid":null,"pid":null,"label":"","action":"introspect","decision":"deny","policy":"no-identity"`) == 4
	})
	if !get[bool](t, rig.Root.MustDial(t, b.address), "Running") {
		t.Error("Running = false, want true")
	}
}

// TestReusedNames restarts the bus under the bridge: unique names are given out anew then, so a bridge that went on
// would take a stranger for an administrator. It ends, and the next one knows nobody.
func TestReusedNames(t *testing.T) {
	rig.RequireRoot(t)
	vm := rig.StartQEMU(t, rig.QEMU{})
	bus := rig.StartDaemon(t, rig.Permissive)
	b := serveQEMU(t, vm, append(grants, "--bus", bus.Address)...)
	root := rig.Root.MustDial(t, bus.Address)
	if _, err := qmp(root, "query-name", nil); err != nil { // it is known from now on
		t.Fatal(err)
	}
	name := root.Names()[0]
	bus.Signal(t, syscall.SIGKILL)
	bus.Wait(t)

	path := strings.TrimPrefix(bus.Address, "unix:path=")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	rig.Start(t, exec.Command("dbus-daemon", "--nofork", "--nopidfile", "--address="+bus.Address, "--config-file="+filepath.Dir(path)+"/bus.conf"))
	rig.Eventually(t, "the bus is back", func() bool { _, err := os.Stat(path); return err == nil })
	taken := false
	for range 100 { // until a stranger has the administrator's name
		conn := rig.Mail.MustDial(t, bus.Address)
		err := conn.Object(busName, qmpPath).Call(qmpCall, 0, "stop", none).Err
		wantError(t, err, dbusError+"ServiceUnknown")
		if taken = conn.Names()[0] == name; taken {
			break
		}
	}
	if !taken {
		t.Errorf("nobody has got the name %s", name)
	}
	if status := b.Wait(t); status != 1 {
		t.Errorf("exit status %d, want 1", status)
	}
	serveQEMU(t, vm, append(grants, "--bus", bus.Address)...)
	conn := rig.Mail.MustDial(t, bus.Address)
	wantError(t, conn.Object(busName, qmpPath).Call(qmpCall, 0, "stop", none).Err, dbusError+"AccessDenied")
}
