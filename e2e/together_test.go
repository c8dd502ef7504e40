package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"testing"

	"github.com/digitalocean/go-qemu/qemu"
	goqmp "github.com/digitalocean/go-qemu/qmp"

	"qmp-dbus-bridge/e2e/rig"
	"qmp-dbus-bridge/qmp/goqemu"
)

// manyRequests go on behind qmpClient: each request has another id, which comes back as it is with the right answer. Its
// arguments are where the session is to be had, and a number of its own.
const manyRequests = `
rounds, number = 6, int(sys.argv[2])
ids = [0, -1, 2.5, 1e300, 2**60, "", "x", "é\n\u0001", None, True, [], [1, [2, {}]], {}, {"a": {"b": None}, "id": []}]

def answered(c, id, name, **request):
    answer = c.command(name, id=id, **request)
    assert "id" in answer and json.dumps(answer.pop("id")) == json.dumps(id), (id, answer)
    return answer

def denied(answer):
    return answer["error"]["class"] == "GenericError" and answer["error"]["desc"].startswith("uid %d may not do " % os.getuid())

def printed(c, id, n):
    return answered(c, id, "human-monitor-command", arguments={"command-line": "print %d" % n})
`

// sessions are QMP clients by what they are and may do, in Python.
var sessions = []struct {
	name string
	user rig.User
	text string
}{
	{"a viewer at the socket", rig.Alice, `
c = Client(connect(sys.argv[1]))
for id in ids * rounds:
    assert answered(c, id, "query-name") == {"return": {"name": "vm7"}}
    assert denied(answered(c, id, "stop")) and denied(printed(c, id, 1))
assert all(e["event"] in ("STOP", "RESUME") for e in c.events), c.events
`},
	{"root at the socket", rig.Root, `
c = Client(connect(sys.argv[1]))
for i, id in enumerate(ids * rounds):
    assert int(printed(c, id, number + i)["return"], 0) == number + i
    assert "error" in answered(c, id, "no-such-command")
`},
	{"an operator by OpenQMP", rig.Bob, `
import dbus, dbus.bus
bus = dbus.bus.BusConnection(sys.argv[1])
vm = dbus.Interface(bus.get_object("org.qemu.VM1", "/org/qemu/VM1"), "org.qemu.VM1")
c = Client(socket.socket(fileno=vm.OpenQMP().take()))
for id in ids * rounds:
    assert answered(c, id, "stop") == {"return": {}}
    assert answered(c, id, "query-status")["return"]["running"] is False
    assert answered(c, id, "cont") == {"return": {}}
    assert denied(answered(c, id, "query-block")) and denied(printed(c, id, 1))
c.command("query-name")
assert [e["event"] for e in c.events] == ["STOP", "RESUME"] * (len(ids) * rounds), c.events[-4:]
`},
}

// TestAllClientsTogether has QMP clients in Python at both kinds of session, go-qemu's packages over the bus and at the socket, and ten
// D-Bus clients, all at the same time: each gets its own answers, and what its user may.
func TestAllClientsTogether(t *testing.T) {
	rig.RequireRoot(t)
	rig.Require(t, "/usr/bin/python3", "setpriv")
	if out, err := exec.Command("/usr/bin/python3", "-c", "import dbus").CombinedOutput(); err != nil {
		rig.Lacking(t, "python3-dbus: "+string(out))
	}
	const dbusClients = 10
	vm := rig.StartQEMU(t, rig.QEMU{Args: []string{"-name", "vm7"}})
	b, socket := listen(t, vm, "--audit", "none", "--grant", "viewer=uid:1", "--grant", "operator=uid:2")

	stop, others := make(chan struct{}), make(chan error, dbusClients)
	for range dbusClients {
		go func() { others <- keepUsing(b.address, stop) }()
	}
	running := map[string]*rig.Process{}
	for i, s := range sessions {
		at := socket
		if s.user == rig.Bob {
			at = b.address
		}
		running[s.name] = rig.Start(t, s.user.Command("/usr/bin/python3", "-c", qmpClient+manyRequests+s.text+`print("done")`, at, fmt.Sprint(100_000*i)))
	}
	root := domain(t, goqemu.Bus(b.address, goqemu.BusOptions{}))
	viewer := domain(t, goqemu.BusConn(rig.Alice.MustDial(t, b.address), goqemu.BusOptions{}))
	direct, err := goqmp.NewSocketMonitor("unix", socket, rig.Timeout)
	if err != nil {
		t.Fatal(err)
	}
	atSocket := domain(t, direct)
	for i := range 60 {
		for name, d := range map[string]*qemu.Domain{"root": root, "at the socket": atSocket} {
			if got := monitorPrint(t, d, i); got != i {
				t.Fatalf("%s: print %d gave %d", name, i, got)
			}
		}
		if _, err := viewer.Status(); err != nil {
			t.Fatalf("a viewer's Status: %v", err)
		}
		if err := viewer.SystemReset(); !errors.Is(err, fs.ErrPermission) {
			t.Fatalf("a viewer's SystemReset: %v, want fs.ErrPermission", err)
		}
	}
	for name, p := range running {
		if status := p.Wait(t); status != 0 || p.Output() != "done\n" {
			t.Errorf("%s: exit status %d:\n%s", name, status, p.Output())
		}
	}
	close(stop)
	for range dbusClients {
		if err := <-others; err != nil {
			t.Error(err)
		}
	}
}

// monitorPrint has QEMU's monitor for people print a number.
func monitorPrint(t *testing.T, d *qemu.Domain, n int) (got int) {
	t.Helper()
	raw, err := d.Run(goqmp.Command{Execute: "human-monitor-command", Args: map[string]string{"command-line": fmt.Sprintf("print %d", n)}})
	if err != nil {
		t.Fatal(err)
	}
	var answer struct{ Return string }
	if err := json.Unmarshal(raw, &answer); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscanf(answer.Return, "0x%x", &got); err != nil {
		if _, err := fmt.Sscanf(answer.Return, "%d", &got); err != nil {
			t.Fatalf("print %d gave %q", n, answer.Return)
		}
	}
	return got
}
