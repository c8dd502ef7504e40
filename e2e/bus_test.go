package e2e_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/godbus/dbus/v5"

	"qmp-dbus-bridge/e2e/rig"
)

// cast is whom the machines of these tests consist of, each with a uid of its own.
var cast = struct {
	qemu, bridge, ui, viewer, stranger, member rig.User
	helpers                                    []rig.User
}{
	qemu: rig.News, bridge: rig.Mail, ui: rig.Proxy, viewer: rig.Alice, stranger: rig.Bob,
	member:  rig.User{UID: rig.Alice.UID, GID: rig.News.GID}, // of QEMU's group
	helpers: []rig.User{rig.LP, rig.UUCP},
}

// castGrants and castUsers are the flags that say so.
var (
	castGrants = []string{"--grant=helper=user:lp", "--grant=helper=uid:10", "--grant=operator=user:proxy", "--grant=viewer=uid:1"}
	castUsers  = []string{"--bridge-user=mail", "--qemu-user=news"}
)

const (
	vmstateName = "org.qemu.VMState1"
	vmstatePath = dbus.ObjectPath("/org/qemu/VMState1")
	displayPath = dbus.ObjectPath("/org/qemu/Display1/VM")
)

// TestBusConfig runs each kind of bus on what bus-config prints, and on it a QEMU with its display
// and its dbus-vmstate, the bridge, two helpers, a display client and a viewer.
func TestBusConfig(t *testing.T) {
	rig.RequireRoot(t)
	t.Run("dbus-daemon", func(t *testing.T) {
		// dbus-daemon is started by root and becomes its user.
		b := rig.StartDaemon(t, busConfig(t, slices.Concat(castUsers, castGrants, []string{"--bus-user=uucp"})...))
		if got := rig.UID(t, b.Server); got != rig.UUCP.UID {
			t.Errorf("dbus-daemon runs as uid %d, want %d", got, rig.UUCP.UID)
		}
		testCast(t, b.Address)
	})
	t.Run("dbus-broker", func(t *testing.T) {
		b := rig.StartBroker(t, busConfig(t, slices.Concat(castUsers, castGrants, []string{"--bus-user=uucp"})...))
		if got := rig.UID(t, b.Server); got != rig.UUCP.UID {
			t.Errorf("dbus-broker runs as uid %d, want %d", got, rig.UUCP.UID)
		}
		testCast(t, b.Address)
	})
}

// busConfig is what the program prints.
func busConfig(t *testing.T, flags ...string) string {
	t.Helper()
	printed, status := rig.Run(t, command(append([]string{"bus-config"}, flags...)...))
	if status != 0 {
		t.Fatalf("bus-config: status %d:\n%s", status, printed)
	}
	return printed
}

func testCast(t *testing.T, address string) {
	vm := startQEMUAs(t, cast.qemu, rig.QEMU{
		Program: "qemu-system-x86_64", // Debian's, which has this display
		Args: []string{
			"-display", "dbus,addr=" + address,
			"-object", "dbus-vmstate,id=vmstate0,addr=" + address,
			"-chardev", "dbus,id=raw0,name=org.qemu.monitor.qmp.0", "-mon", "mode=control,chardev=raw0",
		},
	})
	line := append([]string{"serve", "--qmp", vm.Monitors[0], "--bus", address, "--audit", "none"}, castGrants...)
	p := rig.Start(t, cast.bridge.Command(program, line...))
	p.WaitOutput(t, "bus=")
	t.Cleanup(func() { noRaces(t, p) })
	if want := "devices=raw0"; !strings.Contains(p.Output(), want) {
		t.Errorf("the bridge does not warn of a monitor on the bus, %q:\n%s", want, p.Output())
	}

	if conn, err := cast.stranger.Dial(address); err == nil {
		conn.Close()
		t.Error("a stranger may connect")
	}
	for _, v := range []struct {
		user                 rig.User
		bridge, display, raw string // the names of errors
	}{
		{cast.viewer, "", dbusError + "AccessDenied", dbusError + "AccessDenied"},
		{cast.ui, "", "", dbusError + "AccessDenied"},
		{cast.helpers[0], "", dbusError + "AccessDenied", dbusError + "AccessDenied"},
		{cast.qemu, dbusError + "AccessDenied", dbusError + "AccessDenied", dbusError + "AccessDenied"},
		{rig.Root, "", "", ""},
	} {
		conn := v.user.MustDial(t, address)
		for _, c := range []struct {
			err  error
			what string
			want string
		}{
			{conn.Object(busName, vmPath).Call(propsIf+".Get", 0, busName, "Status").Err, "the bridge", v.bridge},
			{conn.Object("org.qemu", displayPath).Call(propsIf+".GetAll", 0, "org.qemu.Display1.VM").Err, "the display", v.display},
			{conn.Object("org.qemu", "/org/qemu/Display1/Chardev_raw0").Call("org.qemu.Display1.Chardev.SendBreak", 0).Err, "the raw monitor", v.raw},
		} {
			if got := errorName(c.err); got != c.want && (c.err != nil || c.want != "") {
				t.Errorf("uid %d calls %s: %v, want %q", v.user.UID, c.what, c.err, c.want)
			}
		}
	}
	testVMState(t, address)
}

// migratable is a helper's state, by the protocol of dbus-vmstate.
type migratable struct{ saved chan string }

// Save gives the state away.
func (m migratable) Save() ([]byte, *dbus.Error) {
	m.saved <- ""
	return []byte("state"), nil
}

// vmstateID answers for the only property of a migratable helper, its id.
type vmstateID string

// Get returns it.
func (id vmstateID) Get(_, _ string) (dbus.Variant, *dbus.Error) {
	return dbus.MakeVariant(string(id)), nil
}

// GetAll returns it.
func (id vmstateID) GetAll(string) (map[string]dbus.Variant, *dbus.Error) {
	return map[string]dbus.Variant{"Id": dbus.MakeVariant(string(id))}, nil
}

// testVMState has QEMU migrate with the state of two helpers, who both queue for one name.
func testVMState(t *testing.T, address string) {
	saved := make(chan string, len(cast.helpers))
	for i, u := range cast.helpers {
		conn := u.MustDial(t, address)
		mustExport(t, conn, migratable{saved}, vmstateName)
		mustExport(t, conn, vmstateID([]string{"first", "second"}[i]), propsIf)
		want := []dbus.RequestNameReply{dbus.RequestNameReplyPrimaryOwner, dbus.RequestNameReplyInQueue}[i]
		if reply, err := conn.RequestName(vmstateName, 0); err != nil || reply != want {
			t.Fatalf("helper %d requests %s: %v, %v, want %v", i, vmstateName, reply, err, want)
		}
	}
	admin := rig.Root.MustDial(t, address)
	for i, id := range []string{"first", "second"} { // the bridge may read no more of them than this
		var helper map[string]dbus.Variant
		rig.Eventually(t, "the helper is shown", func() bool { helper = objects(t, admin)["helper/"+id]; return helper != nil })
		if uid := helper["UID"].Value(); uid != cast.helpers[i].UID || helper["Id"].Value() != id || helper["Migratable"].Value() != true {
			t.Errorf("the helper %s is shown as %v", id, helper)
		}
	}
	if _, err := qmp(admin, "migrate", map[string]any{"uri": "exec:cat >/dev/null"}); err != nil {
		t.Fatal(err)
	}
	rig.Eventually(t, "the migration ends", func() bool {
		result, err := qmp(admin, "query-migrate", nil)
		if err != nil {
			t.Fatal(err)
		}
		status := result.(map[string]dbus.Variant)["status"].Value()
		if status == "failed" {
			t.Fatalf("the migration failed: %v", result)
		}
		return status == "completed"
	})
	if len(saved) != len(cast.helpers) {
		t.Errorf("%d helpers were asked for their state, want %d", len(saved), len(cast.helpers))
	}
}

func mustExport(t *testing.T, conn *dbus.Conn, v any, iface string) {
	t.Helper()
	if err := conn.Export(v, vmstatePath, iface); err != nil {
		t.Fatal(err)
	}
}

// startQEMUAs starts a machine as another user, whose monitors all may reach.
func startQEMUAs(t *testing.T, u rig.User, vm rig.QEMU) *rig.QEMU {
	t.Helper()
	if vm.Dir == "" {
		vm.Dir = rig.TempDir(t)
	}
	if err := os.Chown(vm.Dir, int(u.UID), int(u.GID)); err != nil {
		t.Fatal(err)
	}
	vm.User = &u
	started := rig.StartQEMU(t, vm)
	for _, path := range started.Monitors {
		rig.Eventually(t, path+" is there", func() bool { return os.Chmod(path, 0o777) == nil })
	}
	return started
}

// TestQEMUMayNotCall has QEMU's uid, which is in a granted group, call the bridge: on a bus that lets
// it, it is refused by the bridge; on the private bus, by the bus.
func TestQEMUMayNotCall(t *testing.T) {
	rig.RequireRoot(t)
	onBothBuses(t, func(t *testing.T, flags []string) {
		vm := startQEMUAs(t, cast.qemu, rig.QEMU{})
		audit := filepath.Join(t.TempDir(), "audit")
		b := serveQEMU(t, vm, append(flags, "--audit", audit, "--grant", "admin=gid:9", "--grant", "viewer=uid:1")...)
		get[string](t, cast.viewer.MustDial(t, b.address), "Status")
		wantError(t, cast.member.MustDial(t, b.address).Object(busName, vmPath).Call(busName+".Pause", 0).Err, "<nil>")
		conn := cast.qemu.MustDial(t, b.address)
		wantError(t, conn.Object(busName, vmPath).Call(busName+".Resume", 0).Err, dbusError+"AccessDenied")
		wantError(t, conn.Object(busName, vmPath).Call(propsIf+".Get", 0, busName, "Status").Err, dbusError+"AccessDenied")
		if status := get[string](t, cast.viewer.MustDial(t, b.address), "Status"); status != "paused" {
			t.Errorf("Status = %q after a refused Resume, want paused", status)
		}
		if len(flags) == 0 { // it did not get as far as the bridge
			return
		}
		rig.Eventually(t, "the audit has the refusal", func() bool {
			text, err := os.ReadFile(audit)
			return err == nil && strings.Contains(string(text), `"action":"cont","decision":"deny","policy":"qemu-itself"`)
		})
	})
}

// TestQEMUGranted: a role for QEMU's own uid is refused at the start, on any bus.
func TestQEMUGranted(t *testing.T) {
	rig.RequireRoot(t)
	vm := startQEMUAs(t, cast.qemu, rig.QEMU{})
	onBothBuses(t, func(t *testing.T, flags []string) {
		args := append([]string{"serve", "--qmp", vm.Monitors[0], "--grant", "viewer=user:news"}, flags...)
		if len(flags) == 0 {
			args = append(args, "--bus-dir", filepath.Join(rig.TempDir(t), "bus"))
		}
		printed, status := rig.Run(t, command(args...))
		if want := "uid 9 is QEMU's own and may not call the bridge"; status != 1 || !strings.Contains(printed, want) {
			t.Errorf("status %d, want 1 and %q:\n%s", status, want, printed)
		}
	})
}

// TestQEMUComesBackAsAnother: the rules of the bus are made for one user, so another's QEMU at
// the same socket is not connected to.
func TestQEMUComesBackAsAnother(t *testing.T) {
	rig.RequireRoot(t)
	dir := rig.TempDir(t)
	vm := startQEMUAs(t, cast.qemu, rig.QEMU{Dir: dir})
	b := serveQEMU(t, vm)
	conn := rig.Self().MustDial(t, b.address)
	vm.Stop()
	if err := os.Remove(vm.Monitors[0]); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	other := startQEMUAs(t, rig.UUCP, rig.QEMU{Dir: dir, Awaited: true})
	b.WaitOutput(t, "QEMU's monitor is of uid 10 now, and was of uid 9: restart the bridge")
	if get[bool](t, conn, "Connected") {
		t.Error("the bridge is connected to another user's QEMU")
	}
	other.Stop()
	if err := os.Remove(other.Monitors[0]); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	startQEMUAs(t, cast.qemu, rig.QEMU{Dir: dir, Awaited: true})
	rig.Eventually(t, "the first user's QEMU is connected again", func() bool { return get[bool](t, conn, "Connected") })
}

// TestRunKnowsQEMU: run takes its child's uid, as it is when the monitor answers.
func TestRunKnowsQEMU(t *testing.T) {
	rig.RequireRoot(t)
	line := []string{
		"run", "--bus-dir", filepath.Join(rig.TempDir(t), "bus"), "--power-down-timeout", "1s",
		"--grant", "admin=gid:9", "--grant", "viewer=uid:1", "--",
		"setpriv", "--reuid=9", "--regid=9", "--clear-groups", "--",
	}
	b := startBridge(t, append(line, smallVM...)...)
	wantError(t, cast.qemu.MustDial(t, b.address).Object(busName, vmPath).Call(busName+".Pause", 0).Err, dbusError+"AccessDenied")
	wantError(t, cast.member.MustDial(t, b.address).Object(busName, vmPath).Call(busName+".Pause", 0).Err, "<nil>")
}

// TestBusUserAndGroup has root's bridge run the bus as another user, behind a directory that is
// open to one group. What it runs on is what bus-config prints.
func TestBusUserAndGroup(t *testing.T) {
	rig.RequireRoot(t)
	dir := filepath.Join(rig.TempDir(t), "bus")
	flags := []string{
		"--bus-dir", dir, "--bus-user", "uucp", "--bus-group", "games", "--qemu-user", "9",
		"--grant", "viewer=group:games", "--grant", "operator=uid:1", "--selinux-context", "system_u:system_r:qmp_bridge_t:s0",
	}
	b := serveQEMU(t, rig.StartQEMU(t, rig.QEMU{}), flags...)
	daemon := onlyChild(t, b)
	if got := rig.UID(t, daemon); got != rig.UUCP.UID {
		t.Errorf("dbus-daemon runs as uid %d, want %d", got, rig.UUCP.UID)
	}
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	stat := info.Sys().(*syscall.Stat_t)
	if info.Mode().Perm() != 0o750 || stat.Uid != rig.UUCP.UID || stat.Gid != rig.Carol.GID {
		t.Errorf("%s has mode %04o, uid %d, gid %d; want 0750, 10, 60", dir, info.Mode().Perm(), stat.Uid, stat.Gid)
	}
	running, err := os.ReadFile(filepath.Join(dir, "bus.conf"))
	if err != nil {
		t.Fatal(err)
	}
	if printed := busConfig(t, flags...); printed != string(running) {
		t.Errorf("bus-config prints another configuration than serve uses:\n%s\n---\n%s", printed, running)
	}

	if got := get[string](t, rig.Carol.MustDial(t, b.address), "Status"); got != "running" {
		t.Errorf("Status = %q, want running", got)
	}
	if conn, err := cast.viewer.Dial(b.address); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("a granted user outside the group connects: %v, %v; want a closed directory", conn, err)
	}
	if want := "a granted user can't reach the bus: it is not in the group\" uid=1 gid=60"; !strings.Contains(b.Output(), want) {
		t.Errorf("the log lacks %q:\n%s", want, b.Output())
	}
	b.Signal(t, syscall.SIGKILL)
	b.Wait(t)
	rig.Eventually(t, "dbus-daemon dies with the bridge", func() bool { return !rig.Alive(daemon) })
}

func onlyChild(t *testing.T, b *bridge) int {
	t.Helper()
	children := rig.Children(t, b.PID())
	if len(children) != 1 {
		t.Fatalf("the bridge has the children %v, want one", children)
	}
	return children[0]
}

// TestGrantToUnknown grants roles to those whom the user database lacks, and whom dbus-daemon therefore keeps out: the log says so.
func TestGrantToUnknown(t *testing.T) {
	b := serveQEMU(t, rig.StartQEMU(t, rig.QEMU{}), "--grant", "viewer=uid:64999", "--grant", "operator=gid:64998", "--grant", "viewer=uid:1")
	for _, grant := range []string{"viewer=uid:64999", "operator=gid:64998"} {
		b.WaitOutput(t, `msg="nobody gets in by a grant: the user database, by which dbus-daemon goes, lacks whom it names" grant="`+grant+`"`)
	}
	if strings.Contains(b.Output(), `grant="viewer=uid:1"`) {
		t.Errorf("a grant that works is warned of:\n%s", b.Output())
	}
}
