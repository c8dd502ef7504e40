package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"qmp-dbus-bridge/e2e/rig"
)

// virtiofsd is the one of QEMU 7.2, which Debian has in qemu-system-common.
const virtiofsd = "/usr/lib/qemu/virtiofsd"

// TestPolicies types what testdata/policy says: the shipped examples at work on a real QEMU, and the tools around
// policies. User 9 is the virtiofs helper, 10 the backup helper, and $PID the bridge's.
func TestPolicies(t *testing.T) {
	rig.RequireRoot(t)
	rig.Require(t, "busctl", "gdbus", "setpriv", "qemu-img", "qemu-io", virtiofsd, rig.QEMUProgram())
	for name, bus := range buses {
		t.Run(name, func(t *testing.T) {
			testscript.Run(t, testscript.Params{
				Dir:   "testdata/policy",
				Setup: func(env *testscript.Env) error { return setUpPolicies(env, bus) },
				Cmds:  policyCommands,
			})
		})
	}
}

// policyCommands are those of these transcripts.
var policyCommands = map[string]func(*testscript.TestScript, bool, []string){
	"as": as, "json": callJSON, "retry": retry, "status": status,
}

// setUpPolicies starts a machine for the helpers, and a bridge with the examples changed as their comments say.
func setUpPolicies(env *testscript.Env, bus func(testing.TB) []string) error {
	t := env.T().(testing.TB)
	disk, target := env.WorkDir+"/disk0.qcow2", env.WorkDir+"/target.raw"
	createImage(t, disk)
	for _, line := range [][]string{
		{"qemu-io", "-f", "qcow2", "-c", "write -P 0x5a 1M 2M", disk},
		{"qemu-img", "create", "-q", "-f", "raw", target, "16M"},
	} {
		if printed, status := rig.Run(t, exec.Command(line[0], line[1:]...)); status != 0 {
			return fmt.Errorf("%s: %s", line, printed)
		}
	}
	var flags []string
	change := strings.NewReplacer(`User::"997"`, `User::"9"`, "/run/virtiofs/", env.WorkDir+"/", `User::"996"`, `User::"10"`)
	for _, name := range []string{"virtiofs", "backup"} {
		printed, status := rig.Run(t, command("policy", "show", name))
		path := env.WorkDir + "/" + name + ".cedar"
		if status != 0 {
			return fmt.Errorf("policy show %s: %s", name, printed)
		}
		if err := os.WriteFile(path, []byte(change.Replace(printed)), 0o600); err != nil {
			return err
		}
		flags = append(flags, "--policy", path)
	}
	if err := os.WriteFile(env.WorkDir+"/own.cedar", nil, 0o600); err != nil {
		return err
	}
	return setUp(env, []string{
		"-object", "memory-backend-memfd,id=mem,share=on,size=64M", "-machine", "memory-backend=mem",
		"-device", "pcie-root-port,id=virtiofs-port,chassis=1",
		// Without a guest, a device leaves only where the guest is not asked: by PCIe's own hotplug.
		"-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off",
		"-blockdev", "qcow2,node-name=disk0,file.driver=file,file.filename=" + disk,
		"-blockdev", "null-co,node-name=secret,size=16777216",
		"-blockdev", "raw,node-name=backup-disk0,file.driver=file,file.filename=" + target,
		"-device", "virtio-blk-pci,drive=disk0",
	}, bus, append(flags, "--grant", "helper=uid:9", "--grant", "helper=uid:10", "--policy", env.WorkDir+"/own.cedar")...)
}

// callJSON runs a command by CallJson as a user: json UID COMMAND [ARGUMENTS].
func callJSON(ts *testscript.TestScript, neg bool, args []string) {
	arguments := ""
	if len(args) > 2 {
		arguments = args[2]
	}
	as(ts, neg, []string{
		args[0], "gdbus", "call", "--address=" + ts.Getenv("BUS"), "--dest", busName, "--object-path", string(qmpPath),
		"--method", qmpIf + ".CallJson", "--", args[1], arguments,
	})
}

// retry runs a command line until it succeeds.
func retry(ts *testscript.TestScript, _ bool, args []string) {
	deadline := time.Now().Add(rig.Timeout)
	for err := ts.Exec(args[0], args[1:]...); err != nil; err = ts.Exec(args[0], args[1:]...) {
		if time.Now().After(deadline) {
			ts.Fatalf("%s: %v", args, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
