package e2e_test

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
	gocmp "github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/e2e/rig"
)

// worker is one kind of helper: a user of its own, with a shipped policy of its own.
type worker struct {
	user   rig.User
	role   string // by --grant; empty means helper
	policy string // the example's name
	may    string // the commands that it may besides those of its role, sorted
	mayNot [][2]string
	// mayNotPass are methods, and what they are called with, that it may not use for a socket or a file that it passes.
	mayNotPass func(socket, file dbus.UnixFD) [][]any
}

// foreign is what no helper may: a command and its arguments each, of other helpers' trades and of an administrator's.
var foreign = [][2]string{
	{"stop", ""},
	{"system_reset", ""},
	{"quit", ""},
	{"query-block", ""},
	{"query-chardev", ""},
	{"qom-list", `{"path":"/machine"}`},
	{"device_del", `{"id":"balloon0"}`},
	{"device_add", `{"driver":"virtio-rng-pci","id":"mine","bus":"rp4"}`},
	{"chardev-add", `{"id":"mine","backend":{"type":"file","data":{"out":"/tmp/mine"}}}`},
	{"blockdev-add", `{"node-name":"mine","driver":"file","filename":"/etc/shadow"}`},
	{"netdev_add", `{"type":"user","id":"mine","hostfwd":[{"str":"tcp::1-:1"}]}`},
	{"object-add", `{"qom-type":"rng-random","id":"mine","filename":"/etc/shadow"}`},
	{"migrate", `{"uri":"exec:true"}`},
	{"human-monitor-command", `{"command-line":"info block"}`},
	{"screendump", `{"filename":"/tmp/mine"}`},
	{"nonsense", ""},
}

// foreignPasses is what no helper may use for its descriptors, by the method and what it is called with.
func foreignPasses(socket, file dbus.UnixFD) [][]any {
	return [][]any{
		{"AddClient", "vnc", socket},
		{"ChardevAdd", "mine", connected(socket)},
		{"NetdevAdd", "mine", "socket", options("fd", socket)},
		{"NbdServerStart", options("type", "fd", "data", options("str", socket))},
		{"Migrate", options("uri", socket)},
		{"BlockdevAdd", "raw", options("node-name", "mine", "file", options("driver", "file", "filename", file))},
	}
}

// connected is a character device over a socket that the caller passes.
func connected(socket dbus.UnixFD) map[string]dbus.Variant {
	address := options("type", "fd", "data", options("str", socket))
	return options("type", "socket", "data", options("server", false, "addr", address))
}

// workplace is a Linux guest with its private bus, where QEMU, the bridge and each helper are users of their own.
type workplace struct {
	guest    // by root
	bridge   *rig.Process
	address  string              // of the bus
	programs string              // the folder with those of docs/helpers.md
	roles    map[string][]string // the commands of helpers and operators without a policy
}

// openWorkplace starts a guest with a bus of that kind and a bridge for the workers. args are QEMU's, once the bus is there.
func openWorkplace(t *testing.T, start startBus, workers []worker, args func(address string) []string) *workplace {
	t.Helper()
	rig.RequireRoot(t)
	rig.Require(t, "setpriv", "/usr/bin/python3")
	if out, err := exec.Command("/usr/bin/python3", "-c", "import dbus.mainloop.glib, gi").CombinedOutput(); err != nil {
		rig.Lacking(t, "python3-dbus and python3-gi: "+string(out))
	}
	dir := rig.TempDir(t)
	plain := map[string]rig.User{"helper": rig.Alice, "operator": rig.Carol}
	grants, policies := []string{"--grant=helper=uid:1", "--grant=operator=uid:5"}, []string{}
	for _, w := range workers {
		grants = append(grants, fmt.Sprintf("--grant=%s=uid:%d", cmp.Or(w.role, "helper"), w.user.UID))
		policies = append(policies, "--policy", shippedPolicy(t, dir, w))
	}
	bus := start(t, busConfig(t, append(castUsers, grants...)...))
	vm := rig.StartGuest(t, rig.QEMU{Program: "qemu-system-x86_64", Dir: cast.qemu.TempDir(t), User: &cast.qemu, Args: args(bus.Address)})
	if err := os.Chmod(vm.Monitors[0], 0o777); err != nil {
		t.Fatal(err)
	}
	p := rig.Start(t, cast.bridge.Command(program, slices.Concat(
		[]string{"serve", "--qmp", vm.Monitors[0], "--bus", bus.Address, "--audit", "none"}, grants, policies)...))
	p.WaitOutput(t, "bus=")
	t.Cleanup(func() { noRaces(t, p) })
	w := &workplace{
		guest:  guest{Guest: vm, client: dial(t, &bridge{p, bus.Address})},
		bridge: p, address: bus.Address, programs: dir, roles: map[string][]string{},
	}
	for role, u := range plain {
		w.roles[role] = mayDo(t, u.MustDial(t, bus.Address))
	}
	writePrograms(t, dir)
	return w
}

// shippedPolicy writes a worker's policy as it is shipped, but for whom it is about, and returns its path.
func shippedPolicy(t *testing.T, dir string, w worker) string {
	t.Helper()
	text, status := rig.Run(t, command("policy", "show", w.policy))
	if status != 0 {
		t.Fatal(text)
	}
	text = regexp.MustCompile(`(User|Group)::"\d+"`).ReplaceAllString(text, fmt.Sprintf(`User::"%d"`, w.user.UID))
	path := filepath.Join(dir, w.policy+".cedar")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// writePrograms writes the programs that docs/helpers.md shows, as they stand there, each under the name in its first line.
func writePrograms(t testing.TB, dir string) {
	t.Helper()
	text, err := os.ReadFile("../docs/helpers.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range regexp.MustCompile("(?s)```python\n# (\\w+\\.py)\n.*?```").FindAllSubmatch(text, -1) {
		content := strings.TrimSuffix(strings.TrimPrefix(string(block[0]), "```python\n"), "```")
		if err := os.WriteFile(filepath.Join(dir, string(block[1])), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// start starts a program of docs/helpers.md as a user.
func (w *workplace) start(t *testing.T, u rig.User, program string, args ...string) *rig.Process {
	t.Helper()
	cmd := u.Command("/usr/bin/python3", append([]string{"-u", filepath.Join(w.programs, program)}, args...)...)
	cmd.Env = append(os.Environ(), "BUS="+w.address)
	return rig.Start(t, cmd)
}

// mayDo is what ListCommands tells somebody.
func mayDo(t *testing.T, conn *dbus.Conn) (commands []string) {
	t.Helper()
	if err := conn.Object(busName, vmPath).Call(busName+".ListCommands", 0).Store(&commands); err != nil {
		t.Fatal(err)
	}
	return commands
}

// confined checks that a worker can do nothing but what it is for, at the bridge and on the bus.
func (w *workplace) confined(t *testing.T, one worker) {
	t.Helper()
	conn := one.user.MustDial(t, w.address)
	for _, try := range slices.Concat(one.mayNot, foreign) {
		if slices.Contains(w.roles[cmp.Or(one.role, "helper")], try[0]) {
			continue
		}
		err := conn.Object(busName, qmpPath).Call(qmpIf+".CallJson", 0, try[0], try[1]).Err
		if errorName(err) != dbusError+"AccessDenied" {
			t.Errorf("%s: %s %s: %v, want AccessDenied", one.policy, try[0], try[1], err)
		}
	}
	w.passesNothing(t, conn, one)
	role := w.roles[cmp.Or(one.role, "helper")]
	more := slices.DeleteFunc(mayDo(t, conn), func(command string) bool { return slices.Contains(role, command) })
	if diff := gocmp.Diff(strings.Fields(one.may), more); diff != "" {
		t.Errorf("%s: commands besides those of its role (-want +got):\n%s", one.policy, diff)
	}
	for _, name := range []string{busName, "org.qemu", "org.example"} {
		if reply, err := conn.RequestName(name, dbus.NameFlagReplaceExisting); errorName(err) != dbusError+"AccessDenied" {
			t.Errorf("%s: RequestName(%s) = %v, %v, want AccessDenied", one.policy, name, reply, err)
		}
	}
	if one.role == "" {
		wantError(t, conn.Object("org.qemu", displayPath).Call(propsIf+".GetAll", 0, "org.qemu.Display1.VM").Err, dbusError+"AccessDenied")
	}
}

// passesNothing has a worker pass descriptors for what it may not do: it is denied, and they are closed.
func (w *workplace) passesNothing(t *testing.T, conn *dbus.Conn, one worker) {
	t.Helper()
	held := len(rig.FDs(t, w.bridge.PID()))
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(ends[0])
	defer unix.Close(ends[1])
	file, err := os.CreateTemp(w.programs, "passed") // open for both
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	tries := foreignPasses(dbus.UnixFD(ends[0]), dbus.UnixFD(file.Fd()))
	if one.mayNotPass != nil {
		tries = append(tries, one.mayNotPass(dbus.UnixFD(ends[0]), dbus.UnixFD(file.Fd()))...)
	}
	for _, try := range tries {
		err := conn.Object(busName, qmpPath).Call(qmpIf+"."+try[0].(string), 0, try[1:]...).Err
		if errorName(err) != dbusError+"AccessDenied" {
			t.Errorf("%s: %v with a descriptor: %v, want AccessDenied", one.policy, try, err)
		}
	}
	rig.Eventually(t, "the bridge has closed what was passed", func() bool { return len(rig.FDs(t, w.bridge.PID())) <= held })
}
