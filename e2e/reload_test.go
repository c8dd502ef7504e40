package e2e_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"qmp-dbus-bridge/e2e/rig"
)

const (
	aliceStops  = `@id("alice-stops") permit (principal in User::"1", action == Action::"stop", resource);`
	aliceResets = `@id("alice-resets") permit (principal in User::"1", action == Action::"system_reset", resource);`
)

// write replaces a file as an editor does, by another one.
func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// TestReload changes the policy of a running bridge: a good file is in force as a whole, a bad one leaves all as it was
// and is named with its place, and each time the audit's file is opened anew.
func TestReload(t *testing.T) { onBothBuses(t, testReload) }

func testReload(t *testing.T, flags []string) {
	rig.RequireRoot(t)
	private := !slices.Contains(flags, "--bus") // on others anybody may connect
	dir := rig.TempDir(t)
	first, second, audit := filepath.Join(dir, "first.cedar"), filepath.Join(dir, "second.cedar"), filepath.Join(dir, "audit")
	write(t, first, aliceStops)
	write(t, second, `@id("nobody") permit (principal in Role::"helper", action == Action::"cont", resource);`)
	b := serveQEMU(t, rig.StartQEMU(t, rig.QEMU{}), append(flags, "--grant", "viewer=uid:1",
		"--policy", first, "--policy", second, "--audit", audit)...)
	alice := rig.Alice.MustDial(t, b.address)
	may := func(command string) bool {
		_, err := qmp(alice, command, nil)
		if err != nil && errorName(err) != dbusError+"AccessDenied" {
			t.Fatalf("%s = %v", command, err)
		}
		return err == nil
	}
	changes := watch(t, alice, dbus.WithMatchInterface(propsIf))
	expect := func(stop, reset bool) {
		t.Helper()
		if may("system_reset") != reset || may("stop") != stop {
			t.Fatalf("alice may not do what she should, or may what she should not; want stop %v, system_reset %v\n%s", stop, reset, b.Output())
		}
		b.WaitOutput(t, get[string](t, alice, "PolicyHash"))
	}
	expect(true, false)
	if want := fmt.Sprintf(`level=WARN msg="a policy has no effect" why="%s:1:36: the role helper is granted to nobody"`, second); strings.Contains(b.Output(), want) != private {
		t.Errorf("the log is\n%s\nwant %s: %v", b.Output(), want, private)
	}

	if err := os.Rename(audit, audit+".1"); err != nil {
		t.Fatal(err)
	}
	write(t, second, `@id("no") forbid (principal, action == Action::"stop", resource);`+aliceResets)
	b.Signal(t, syscall.SIGHUP)
	hash := ""
	for hash == "" {
		if changed := next(t, changes).Body[1].(map[string]dbus.Variant); changed["PolicyHash"].Value() != nil {
			hash = changed["PolicyHash"].Value().(string)
		}
	}
	expect(false, true)
	b.WaitOutput(t, fmt.Sprintf(`level=WARN msg="a policy has no effect" why="%s:1:62: this permit never takes effect: no (%s:1:1) forbids it"`, first, second))
	if hash != get[string](t, alice, "PolicyHash") {
		t.Errorf("PropertiesChanged told %s, PolicyHash is %s", hash, get[string](t, alice, "PolicyHash"))
	}
	rig.Eventually(t, "the audit goes on in a new file", func() bool {
		text, err := os.ReadFile(audit)
		return err == nil && strings.Contains(string(text), `"policy":"no"`)
	})

	write(t, first, "permit (principal, action, resource);")
	write(t, second, "permit (principal, action, resource);\n\tpermit (principal, action == Action::\"stpo\", resource);")
	b.Signal(t, syscall.SIGHUP)
	b.WaitOutput(t, "the policy stays as it was")
	want := fmt.Sprintf(`level=ERROR msg="the policy stays as it was" error="--policy: %s:2:31: unknown command \"stpo\": did you mean \"stop\"?"`+"\n", second)
	if !strings.Contains(b.Output(), want) {
		t.Errorf("the log is\n%s\nwant a line with %s", b.Output(), want)
	}
	expect(false, true)

	write(t, second, "")
	b.Signal(t, syscall.SIGHUP)
	b.WaitOutput(t, "hash="+checkedHash(t, first, second))
	expect(true, true)
}

// checkedHash is what policy check says.
func checkedHash(t *testing.T, files ...string) string {
	t.Helper()
	printed, status := rig.Run(t, command(append([]string{"policy", "check", "--grant", "viewer=uid:1"}, files...)...))
	found := regexp.MustCompile(`hash ([0-9a-f]{64})\n$`).FindStringSubmatch(printed)
	if status != 0 || found == nil {
		t.Fatalf("policy check = %d, %q", status, printed)
	}
	return found[1]
}

// TestReloadBeforeReady sends SIGHUP while the bridge waits for a QEMU that says nothing: it lives, and reloads once it
// can serve.
func TestReloadBeforeReady(t *testing.T) {
	dir := rig.TempDir(t)
	listener, err := net.Listen("unix", filepath.Join(dir, "qmp"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	p := rig.Start(t, command("serve", "--qmp", filepath.Join(dir, "qmp"), "--bus-dir", filepath.Join(dir, "bus")))
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	p.Signal(t, syscall.SIGHUP)
	p.Signal(t, syscall.SIGHUP)
	conn.Close()
	if status := p.Wait(t); status != 1 || !strings.Contains(p.Output(), "qmp-dbus-bridge: ") {
		t.Errorf("exit status %d, want 1 because QEMU went:\n%s", status, p.Output())
	}
}

// TestReloadTellsSystemd listens as systemd would: RELOADING with the time, then READY.
func TestReloadTellsSystemd(t *testing.T) {
	dir := rig.TempDir(t)
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	policy := filepath.Join(dir, "policy.cedar")
	write(t, policy, aliceStops)
	c := command("serve", "--qmp", rig.StartQEMU(t, rig.QEMU{}).Monitors[0], "--bus-dir", filepath.Join(dir, "bus"), "--policy", policy)
	c.Env = append(os.Environ(), "NOTIFY_SOCKET="+filepath.Join(dir, "notify"))
	p := rig.Start(t, c)
	t.Cleanup(func() { noRaces(t, p) })
	told := func(want string) {
		t.Helper()
		buffer := make([]byte, 4096)
		if err := socket.SetReadDeadline(time.Now().Add(rig.Timeout)); err != nil {
			t.Fatal(err)
		}
		n, err := socket.Read(buffer)
		if err != nil {
			t.Fatal(err)
		}
		if !regexp.MustCompile(want).Match(buffer[:n]) {
			t.Errorf("systemd was told %q, want %s", buffer[:n], want)
		}
	}
	told(`^READY=1$`)
	p.WaitOutput(t, "bus=")
	p.Signal(t, syscall.SIGHUP)
	told(`^RELOADING=1\nMONOTONIC_USEC=[1-9][0-9]+$`)
	told(`^STATUS=reloaded\nREADY=1$`)
	write(t, policy, "permit")
	p.Signal(t, syscall.SIGHUP)
	told(`^RELOADING=1\nMONOTONIC_USEC=[1-9][0-9]+$`)
	told(`^STATUS=not all was reloaded: --policy: .*policy.cedar:1:7: syntax: the file ends, want \(\nREADY=1$`)
	socket.Close()
	p.Signal(t, syscall.SIGHUP)
	p.WaitOutput(t, `msg="systemd was not told that a reload begins"`)
	p.WaitOutput(t, `msg="systemd was not told that a reload is done"`)
}
