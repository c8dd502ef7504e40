package e2e_test

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/godbus/dbus/v5"

	"qmp-dbus-bridge/e2e/rig"
)

// qmpClient is a QMP client of the usual kind, such as QEMU's own qmp-shell: it sends commands without an end of line, and reads
// lines. Its first argument is the socket, or fd:N.
const qmpClient = `
import json, os, socket, sys

class Client:
    def __init__(self, sock):
        self.sock, self.events = sock, []
        self.lines = sock.makefile("r", encoding="utf-8")
        self.greeting = json.loads(self.lines.readline())
        assert self.command("qmp_capabilities") == {"return": {}}

    def answer(self):
        while True:
            line = self.lines.readline()
            if not line:
                return None
            message = json.loads(line)
            if "event" not in message:
                return message
            self.events.append(message)

    def send(self, text):
        self.sock.sendall(text.encode())

    def command(self, name, **request):
        self.send(json.dumps({"execute": name, **request}))
        return self.answer()

def connect(path):
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(60)
    sock.connect(path)
    return sock
`

// listen is a bridge that serves QMP at the socket it returns, in its bus's directory.
func listen(t *testing.T, vm *rig.QEMU, flags ...string) (b *bridge, socket string) {
	t.Helper()
	dir := filepath.Join(rig.TempDir(t), "bus")
	socket = filepath.Join(dir, "qmp")
	return serveQEMU(t, vm, append([]string{"--bus-dir", dir, "--qmp-listen", socket}, flags...)...), socket
}

// python runs a program that goes on behind qmpClient as u.
func python(t *testing.T, u rig.User, text string, args ...string) (printed string, status int) {
	t.Helper()
	args = append([]string{"-c", qmpClient + text}, args...)
	if u == rig.Self() {
		return rig.Run(t, exec.Command("/usr/bin/python3", args...))
	}
	return rig.Run(t, u.Command("/usr/bin/python3", args...))
}

// TestQMPListen has a client go through what QMP has, on a real QEMU, and finds QEMU's own words.
func TestQMPListen(t *testing.T) {
	rig.Require(t, "/usr/bin/python3")
	vm := rig.StartQEMU(t, rig.QEMU{})
	b, socket := listen(t, vm)
	if info, err := os.Lstat(socket); err != nil || info.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("without grants the socket is %v, %v", info.Mode(), err)
	}
	printed, status := python(t, rig.Self(), `
c = Client(connect(sys.argv[1]))
assert c.greeting["QMP"]["capabilities"] == [] and c.greeting["QMP"]["version"]["qemu"]["major"] >= 5, c.greeting
for id in [0, 2.5, "x", "é", None, True, [1, [2]], {"a": {"b": None}}]:
    assert c.command("query-name", id=id) == {"return": {}, "id": id}
assert c.command("query-qmp-schema")["return"][0]["meta-type"] == "command"
assert c.command("nosuch", id=1)["error"]["class"] == "CommandNotFound"
assert c.command("device_del", arguments={"id": "nosuch"})["error"]["class"] == "DeviceNotFound"
assert c.command("query-status", arguments={"a": 1})["error"]["desc"] == "Parameter 'a' is unexpected"
assert c.command("query-status", foo=1)["error"]["desc"] == "QMP input member 'foo' is unexpected"
assert c.command("human-monitor-command", arguments={"command-line": "info version"})["return"]
assert c.command("x", arguments={"a": "x" * 70000})["error"]["desc"] == "JSON token size limit exceeded"
assert "65537 bytes" in c.command("x", arguments={"a": "x" * (65537 - 8)})["error"]["desc"]
c.send("{@\n{\"execute\":\"query-status\",\n \"id\":5}{\"execute\":\"query-name\",\"id\":6}")
assert "JSON parse error, stray '@'" == c.answer()["error"]["desc"]
assert [c.answer()["id"], c.answer()["id"]] == [5, 6]
assert c.command("stop") == {"return": {}} and c.command("cont") == {"return": {}}
assert [e["event"] for e in c.events] == ["STOP", "RESUME"], c.events
assert c.events[0]["timestamp"]["seconds"] > 1700000000
c.sock.shutdown(socket.SHUT_WR)
assert c.answer() is None
print("done")
`, socket)
	if status != 0 || printed != "done\n" {
		t.Errorf("exit status %d:\n%s", status, printed)
	}
	b.Signal(t, syscall.SIGTERM)
	if status := b.Wait(t); status != 0 {
		t.Errorf("exit status %d:\n%s", status, b.Output())
	}
	if _, err := os.Lstat(filepath.Dir(socket)); !os.IsNotExist(err) {
		t.Errorf("the socket and its directory are left: %v", err)
	}
}

// TestQMPListenUsers has each user decided on as on the bus, by its uid and its groups.
func TestQMPListenUsers(t *testing.T) {
	rig.RequireRoot(t)
	rig.Require(t, "/usr/bin/python3", "setpriv")
	vm := rig.StartQEMU(t, rig.QEMU{})
	b, socket := listen(t, vm, "--grant", "viewer=uid:1", "--grant", "operator=gid:60")
	for _, test := range []struct {
		user       rig.User
		text, want string
	}{
		{rig.Alice, `print(c.command("query-status")["return"]["running"], c.command("stop")["error"]["desc"])`, "True uid 1 may not do stop (class lifecycle): no grant or policy permits it\n"},
		{rig.Alice, `
actions = [{"type": "blockdev-snapshot-sync", "data": {"device": "x", "snapshot-file": "/tmp/x"}}]
print(c.command("transaction", arguments={"actions": actions})["error"]["desc"])`, "uid 1 may not do transaction (class host): no grant or policy permits it\n"},
		{rig.Carol, `print(c.command("stop"), c.command("cont"), [e["event"] for e in c.events])`, "{'return': {}} {'return': {}} ['STOP', 'RESUME']\n"},
	} {
		printed, status := python(t, test.user, "c = Client(connect(sys.argv[1]))\n"+test.text, socket)
		if status != 0 || printed != test.want {
			t.Errorf("uid %d: exit status %d, %q, want %q", test.user.UID, status, printed, test.want)
		}
	}
	printed, status := python(t, rig.Mail, `
lines = connect(sys.argv[1]).makefile()
print(json.loads(lines.readline())["error"]["desc"], lines.readline() == "")`, socket)
	if want := "uid 8 may not do subscribe (class read): no grant or policy permits it True\n"; status != 0 || printed != want {
		t.Errorf("a stranger: exit status %d, %q, want %q", status, printed, want)
	}
	for _, want := range []string{
		`"caller":":qmp.4","uid":8,`, `"uid":1,"pid":`, `"action":"stop","decision":"deny","policy":"default-deny"`, `"uid":5,"pid":`,
	} {
		b.WaitOutput(t, want)
	}
}

// TestQMPClientsTogether has eight QMP clients and two on the bus work at the same time, each answered its own, while QEMU's
// monitor takes one client only.
func TestQMPClientsTogether(t *testing.T) {
	rig.Require(t, "/usr/bin/python3")
	const clients, rounds = 8, 100
	vm := rig.StartQEMU(t, rig.QEMU{})
	b, socket := listen(t, vm)
	var running []*rig.Process
	for n := range clients {
		running = append(running, rig.Start(t, exec.Command("/usr/bin/python3", "-c", qmpClient+`
c = Client(connect(sys.argv[1]))
for i in range(int(sys.argv[3])):
    id = [sys.argv[2], i]
    assert c.command("query-status", id=id)["id"] == id
    answer = c.command("human-monitor-command", id=i, arguments={"command-line": "print %d" % (i + int(sys.argv[2]))})
    assert answer["id"] == i and int(answer["return"], 0) == i + int(sys.argv[2]), answer
print("done", sum(e["event"] == "STOP" for e in c.events) <= int(sys.argv[3]))
`, socket, fmt.Sprint(1000*n), fmt.Sprint(rounds))))
	}
	for range 2 {
		conn := rig.Self().MustDial(t, b.address)
		for range rounds / 2 {
			for _, method := range []string{"Pause", "Resume"} {
				if err := conn.Object(busName, vmPath).Call(busName+"."+method, 0).Err; err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for _, p := range running {
		if status := p.Wait(t); status != 0 || p.Output() != "done True\n" {
			t.Errorf("exit status %d:\n%s", status, p.Output())
		}
	}
}

// TestQMPClientSlow has a client ask for QEMU's schema 200 times, 40 MB, before it reads: the bridge reads no further than it can
// answer, keeps little, serves others meanwhile, and answers all in the end.
func TestQMPClientSlow(t *testing.T) {
	rig.Require(t, "/usr/bin/python3")
	const most = 16 << 20 // bytes more
	vm := rig.StartQEMU(t, rig.QEMU{})
	b, socket := listen(t, vm)
	conn := rig.Self().MustDial(t, b.address)
	if _, err := qmp(conn, "query-qmp-schema", nil); err != nil { // what that takes is there from now on
		t.Fatal(err)
	}
	before := rig.RSS(t, b.PID())
	slow := exec.Command("/usr/bin/python3", "-c", qmpClient+`
c = Client(connect(sys.argv[1]))
c.send("".join(json.dumps({"execute": "query-qmp-schema", "id": i}) for i in range(200)))
print("sent", flush=True)
sys.stdin.read()
for i in range(200):
    answer = c.answer()
    assert answer["id"] == i and len(answer["return"]) > 100
print("done")
`, socket)
	in, err := slow.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	p := rig.Start(t, slow)
	p.WaitOutput(t, "sent")
	for range 100 {
		if _, err := qmp(conn, "query-status", nil); err != nil {
			t.Fatal(err)
		}
	}
	if now := rig.RSS(t, b.PID()); now > before+most {
		t.Errorf("%d bytes resident, %d before", now, before)
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if status := p.Wait(t); status != 0 || p.Output() != "sent\ndone\n" {
		t.Errorf("exit status %d:\n%s", status, p.Output())
	}
}

// TestQMPClientsOfDeadQEMU has QEMU killed: sessions end, and clients that come when another is there get that one.
func TestQMPClientsOfDeadQEMU(t *testing.T) {
	rig.Require(t, "/usr/bin/python3")
	dir := rig.TempDir(t)
	vm := rig.StartQEMU(t, rig.QEMU{Dir: dir, Args: []string{"-name", "first"}})
	b, socket := listen(t, vm)
	const name = `
c = Client(connect(sys.argv[1]))
print(c.command("query-name")["return"]["name"], flush=True)
`
	waits := rig.Start(t, exec.Command("/usr/bin/python3", "-c", qmpClient+name+`print(c.answer())`, socket))
	waits.WaitOutput(t, "first\n")
	signals := watch(t, rig.Self().MustDial(t, b.address), dbus.WithMatchInterface(propsIf))
	vm.Signal(t, syscall.SIGKILL)
	if status := waits.Wait(t); status != 0 || waits.Output() != "first\nNone\n" {
		t.Errorf("exit status %d:\n%s", status, waits.Output())
	}
	next(t, signals)
	rig.StartQEMU(t, rig.QEMU{Dir: dir, Awaited: true, Args: []string{"-name", "second"}})
	next(t, signals)
	if printed, status := python(t, rig.Self(), name, socket); status != 0 || printed != "second\n" {
		t.Errorf("exit status %d, %q", status, printed)
	}
}

// TestOpenQMP has python3-dbus open a session, which ends when it leaves the bus, and one whose QEMU ends.
func TestOpenQMP(t *testing.T) {
	rig.Require(t, "/usr/bin/python3")
	if out, err := exec.Command("/usr/bin/python3", "-c", "import dbus").CombinedOutput(); err != nil {
		rig.Lacking(t, "python3-dbus: "+string(out))
	}
	onBothBuses(t, func(t *testing.T, flags []string) {
		vm := rig.StartQEMU(t, rig.QEMU{})
		b := serveQEMU(t, vm, flags...)
		const open = `
import dbus, dbus.bus
bus = dbus.bus.BusConnection(sys.argv[1])
vm = dbus.Interface(bus.get_object("org.qemu.VM1", "/org/qemu/VM1"), "org.qemu.VM1")
c = Client(socket.socket(fileno=vm.OpenQMP().take()))
assert "running" in c.command("query-status", id={"a": 1})["return"]
vm.Pause()
assert c.command("query-status")["return"]["running"] is False
assert [e["event"] for e in c.events] == ["STOP"], c.events
`
		printed, status := python(t, rig.Self(), open+`
bus.close()
assert c.answer() is None
print("done")
`, b.address)
		if status != 0 || printed != "done\n" {
			t.Errorf("exit status %d:\n%s", status, printed)
		}
		printed, status = python(t, rig.Self(), strings.ReplaceAll(open, "vm.Pause()", `assert c.command("cont") == {"return": {}}; c.events = []; vm.Pause()`)+`
assert c.command("quit", id=7) == {"return": {}, "id": 7}
assert c.answer() is None
try:
    vm.OpenQMP()
except dbus.DBusException as e:
    print(e.get_dbus_name())
`, b.address)
		if want := "org.qemu.VM1.Error.Disconnected\n"; status != 0 || printed != want {
			t.Errorf("exit status %d, %q, want %q", status, printed, want)
		}
	})
}

// TestQMPListenRefused has the start end with the reason.
func TestQMPListenRefused(t *testing.T) {
	vm := rig.StartQEMU(t, rig.QEMU{})
	dir := rig.TempDir(t)
	open := filepath.Join(dir, "open")
	if err := os.Mkdir(open, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "none/qmp"): "--qmp-listen: lstat " + dir + "/none: no such file or directory: make the directory",
		filepath.Join(open, "qmp"):     "--qmp-listen: " + open + " can be written by others (mode 0777)",
		vm.Monitors[0]:                 "--qmp-listen: " + vm.Monitors[0] + " is the socket of a program that is running",
	} {
		printed, status := rig.Run(t, command("serve", "--qmp", vm.Monitors[0], "--bus-dir", filepath.Join(dir, "bus"), "--qmp-listen", path))
		if status != 1 || !strings.Contains(printed, want) {
			t.Errorf("%s: exit status %d, %q, want %q", path, status, printed, want)
		}
	}
}
