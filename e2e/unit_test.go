package e2e_test

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"qmp-dbus-bridge/e2e/rig"
)

// The unit file, and the instance that it is tried as.
const (
	unitFile     = "../cmd/qmp-dbus-bridge/qmp-dbus-bridge@.service"
	qemuUnitFile = "../cmd/qmp-dbus-bridge/qemu@.service"
	unitInstance = "qmp-dbus-bridge@vm7.service"
)

// writeInstance writes the unit as an instance that starts the program under test.
func writeInstance(t *testing.T) (path, text string) {
	t.Helper()
	unit, err := os.ReadFile(unitFile)
	if err != nil {
		t.Fatal(err)
	}
	text = strings.ReplaceAll(string(unit), "/usr/bin/qmp-dbus-bridge", program)
	path = filepath.Join(rig.TempDir(t), unitInstance)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path, text
}

// TestUnitVerified has systemd read the unit and that of QEMU.
func TestUnitVerified(t *testing.T) {
	rig.Require(t, "systemd-analyze", "qemu-system-x86_64")
	path, _ := writeInstance(t)
	text, err := os.ReadFile(qemuUnitFile)
	if err != nil {
		t.Fatal(err)
	}
	qemu := filepath.Join(filepath.Dir(path), "qemu@vm7.service")
	if err := os.WriteFile(qemu, text, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{path, qemu} {
		if printed, status := rig.Run(t, exec.Command("systemd-analyze", "verify", "--man=no", path)); status != 0 || printed != "" {
			t.Errorf("exit status %d:\n%s", status, printed)
		}
	}
}

// TestUnitQEMU runs the command of QEMU's unit as its user would and has the bridge's find the monitor where its
// unit says, as a member of QEMU's group: nobody else can reach it.
func TestUnitQEMU(t *testing.T) {
	rig.RequireRoot(t)
	rig.Require(t, "setpriv", "qemu-system-x86_64")
	unit, err := os.ReadFile(qemuUnitFile)
	if err != nil {
		t.Fatal(err)
	}
	_, bridgeUnit := writeInstance(t)
	setting := func(text, name string) string {
		found := regexp.MustCompile(`(?m)^"?` + name + `=(.*?)"?$`).FindStringSubmatch(strings.ReplaceAll(text, "Environment=", ""))
		if found == nil {
			t.Fatalf("no %s= in\n%s", name, text)
		}
		return found[1]
	}
	runtime := filepath.Join(rig.TempDir(t), "vm7")
	here := strings.NewReplacer("/run/qemu/%i", runtime, "%i", "vm7", "$ARGUMENTS", setting(string(unit), "ARGUMENTS"))
	mode, err := strconv.ParseUint(setting(string(unit), "RuntimeDirectoryMode"), 8, 32)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []error{
		os.Mkdir(runtime, 0o700), os.Chown(runtime, int(rig.News.UID), int(rig.News.GID)), os.Chmod(runtime, os.FileMode(mode)),
	} {
		if step != nil {
			t.Fatal(step)
		}
	}
	line := `umask "$1"; shift; exec "$@"`
	arguments := append([]string{"-c", line, "sh", setting(string(unit), "UMask")}, strings.Fields(here.Replace(setting(string(unit), "ExecStart")))...)
	rig.Start(t, rig.News.Command("sh", arguments...))
	monitor := here.Replace(setting(bridgeUnit, "QMP"))
	rig.Eventually(t, "the monitor is there", func() bool { _, err := os.Stat(monitor); return err == nil })
	serve := []string{program, "serve", "--qmp", monitor, "--bus-dir", filepath.Join(rig.TempDir(t), "bus")}
	if printed, status := rig.Run(t, rig.Bob.Command(serve[0], serve[1:]...)); status != 1 || !strings.Contains(printed, "permission denied") {
		t.Errorf("outside the group: exit status %d, %q; want 1 and permission denied", status, printed)
	}
	member := []string{"--reuid", "1", "--regid", "1", "--groups", "1,9", "--"}
	bus := filepath.Join(rig.TempDir(t), "bus")
	for _, step := range []error{os.Mkdir(bus, 0o700), os.Chown(bus, int(rig.Alice.UID), int(rig.Alice.GID))} {
		if step != nil {
			t.Fatal(step)
		}
	}
	serve[len(serve)-1] = bus
	rig.Start(t, exec.Command("setpriv", append(member, serve...)...)).WaitOutput(t, "bus=")
}

// maxExposure is what systemd-analyze security may give the unit at most, of 10.
const maxExposure = 1.0

// TestUnitExposure has systemd judge the unit.
func TestUnitExposure(t *testing.T) {
	rig.Require(t, "systemd-analyze")
	path, _ := writeInstance(t)
	printed, status := rig.Run(t, exec.Command("systemd-analyze", "security", "--offline=true", "--no-pager", path))
	found := regexp.MustCompile(`Overall exposure level for \S+: (\d+\.\d+)`).FindStringSubmatch(printed)
	if status != 0 || found == nil {
		t.Fatalf("exit status %d:\n%s", status, printed)
	}
	exposure, err := strconv.ParseFloat(found[1], 64)
	if err != nil || exposure > maxExposure {
		t.Errorf("exposure %v, %v; want %v at most:\n%s", exposure, err, maxExposure, printed)
	}
}

// TestUnitCommand runs the unit's command as far as it goes without systemd: as its user would, without
// capabilities and new privileges, with no system calls but those that the unit allows, in a directory that is made
// for it, telling systemd when it is ready.
func TestUnitCommand(t *testing.T) {
	rig.RequireRoot(t)
	rig.Require(t, "setpriv", "systemd-analyze")
	_, text := writeInstance(t)
	vm := rig.StartQEMU(t, rig.QEMU{})
	user := rig.Alice
	runtime := filepath.Join(rig.TempDir(t), "vm7")
	audit := filepath.Join(rig.TempDir(t), "audit")
	for _, step := range []error{
		os.Chown(vm.Monitors[0], 0, int(user.GID)), // as QEMU's unit does by its Group= and UMask=
		os.Chmod(vm.Monitors[0], 0o770),
		os.Mkdir(runtime, 0o700), // as RuntimeDirectory= does
		os.Chown(runtime, int(user.UID), int(user.GID)),
		os.WriteFile(audit, nil, 0o600),
		os.Chown(audit, int(user.UID), int(user.GID)),
	} {
		if step != nil {
			t.Fatal(step)
		}
	}
	notify := filepath.Join(rig.TempDir(t), "notify")
	systemd, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: notify, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer systemd.Close()
	if err := os.Chmod(notify, 0o777); err != nil {
		t.Fatal(err)
	}

	line := regexp.MustCompile(`(?m)^ExecStart=(.*)$`).FindStringSubmatch(text)
	if line == nil {
		t.Fatalf("no ExecStart in\n%s", text)
	}
	command := strings.NewReplacer("${QMP}", vm.Monitors[0], "$OPTIONS", "--audit="+audit+" --sandbox=require --grant=viewer=uid:2",
		"/run/qmp-dbus-bridge/%i", runtime, "%i", "vm7").Replace(line[1])
	bare := []string{"--no-new-privs", "--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all"}
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	const fd = 3 // the first of ExtraFiles
	cmd := user.Command("setpriv", append(append(bare, "--"), underFilter(fd, strings.Fields(command))...)...)
	cmd.ExtraFiles = []*os.File{self}
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "NOTIFY_SOCKET=" + notify, filterVariable + "=" + unitCalls(t, text)}
	p := rig.Start(t, cmd)
	p.WaitOutput(t, "bus=")
	message := make([]byte, 256)
	if err := systemd.SetReadDeadline(time.Now().Add(rig.Timeout)); err != nil {
		t.Fatal(err)
	}
	if n, err := systemd.Read(message); err != nil || !bytes.Contains(message[:n], []byte("READY=1")) {
		t.Errorf("systemd is told %q, %v; want READY=1", message[:n], err)
	}
	requireConfined(t, p.PID())
	if !get[bool](t, rig.Bob.MustDial(t, readyAddress(p.Output())), "Running") {
		t.Error("Running = false, want true")
	}
	noRaces(t, p)
	if text, err := os.ReadFile(audit); err != nil || !bytes.Contains(text, []byte(`"uid":2`)) {
		t.Errorf("the audit has %q, %v", text, err)
	}
}
