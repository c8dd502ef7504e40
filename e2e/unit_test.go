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

// TestUnitVerified has systemd read the unit.
func TestUnitVerified(t *testing.T) {
	rig.Require(t, "systemd-analyze")
	path, _ := writeInstance(t)
	if printed, status := rig.Run(t, exec.Command("systemd-analyze", "verify", "--man=no", path)); status != 0 || printed != "" {
		t.Errorf("exit status %d:\n%s", status, printed)
	}
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
