package e2e_test

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"qmp-dbus-bridge/e2e/rig"
)

// commands are those of the transcripts besides testscript's own.
var commands = map[string]func(*testscript.TestScript, bool, []string){
	"as": as, "call": call, "gcall": gcall, "retry": retry, "status": status,
}

// TestUsage types command lines that start nothing.
func TestUsage(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/usage", Cmds: commands, Setup: setUpProgram})
}

// TestTranscripts types what testdata/vm says. QEMU and the bridge are started before; $BUS is
// the bus's address, $AUDIT the bridge's audit, and $QMP a monitor of QEMU that is free.
func TestTranscripts(t *testing.T) {
	onEachBus(t, "testdata/vm", func(*testscript.Env) []string {
		return []string{"-blockdev", "null-co,node-name=disk0,size=1048576"}
	})
}

// onEachBus types the transcripts in dir on the bridge's own private bus and on a dbus-broker
// that all users share. args are QEMU's for one of them, besides those of setUp.
func onEachBus(t *testing.T, dir string, args func(*testscript.Env) []string) {
	rig.RequireRoot(t)
	rig.Require(t, "busctl", "gdbus", "setpriv", rig.QEMUProgram())
	for name, bus := range buses {
		t.Run(name, func(t *testing.T) {
			testscript.Run(t, testscript.Params{
				Dir:       dir,
				Setup:     func(env *testscript.Env) error { return setUp(env, args(env), bus) },
				Cmds:      commands,
				Condition: condition,
			})
		})
	}
}

// setUpProgram puts the bridge into the PATH of a transcript.
func setUpProgram(env *testscript.Env) error {
	env.Setenv("PROGRAM", filepath.Dir(program))
	env.Setenv("PATH", filepath.Dir(program)+":"+env.Getenv("PATH"))
	return nil
}

// setUp starts a machine and a bridge, which gets more flags, for one transcript.
func setUp(env *testscript.Env, args []string, bus func(testing.TB) []string, more ...string) error {
	t := env.T().(testing.TB)
	vm := rig.StartQEMU(t, rig.QEMU{Count: 2, Args: append([]string{
		"-name", "demo", "-uuid", "7c9e6679-7425-40de-944b-e07fc1f90ae7",
	}, args...)})
	audit := env.WorkDir + "/audit"
	flags := append(bus(t), "--audit", audit, "--policy", policyFile(env), "--grant", "viewer=uid:1", "--grant", "operator=group:games")
	b := serveQEMU(t, vm, append(flags, more...)...)
	env.Setenv("BUS", b.address)
	env.Setenv("QMP", vm.Monitors[1])
	env.Setenv("AUDIT", audit)
	env.Setenv("PID", strconv.Itoa(b.PID()))
	env.Setenv("DBUS_SESSION_BUS_ADDRESS", b.address)
	if err := os.Chmod(env.WorkDir, 0o711); err != nil {
		return err
	}
	return setUpProgram(env)
}

// condition tells transcripts which QEMU they meet: [qemu9] is 9.0 or later.
func condition(name string) (bool, error) {
	major, err := strconv.Atoi(strings.TrimPrefix(name, "qemu"))
	if err != nil {
		return false, fmt.Errorf("unknown condition %s", name)
	}
	version, err := rig.Version(rig.QEMUProgram())
	return version >= major, err
}

// call is a method of org.qemu.VM1.QMP, by busctl: call MEMBER [SIGNATURE ARGUMENTS...]
func call(ts *testscript.TestScript, neg bool, args []string) {
	run(ts, neg, append([]string{
		"busctl", "--address=" + ts.Getenv("BUS"), "call", "--", busName, string(qmpPath), qmpIf,
	}, args...))
}

// gcall is the same by gdbus, which also prints the names of errors: gcall MEMBER ARGUMENTS...
func gcall(ts *testscript.TestScript, neg bool, args []string) {
	run(ts, neg, append([]string{
		"gdbus", "call", "--session", "--dest", busName, "--object-path", string(qmpPath),
		"--method", qmpIf + "." + args[0], "--",
	}, args[1:]...))
}

// run runs a command line, which must succeed, or fail if neg.
func run(ts *testscript.TestScript, neg bool, line []string) {
	switch err := ts.Exec(line[0], line[1:]...); {
	case err == nil && neg:
		ts.Fatalf("%s: unexpected success", line)
	case err != nil && !neg:
		ts.Fatalf("%s: %v", line, err)
	}
}

// status runs a command and checks its exit status: status N COMMAND...
func status(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: status N COMMAND...")
	}
	var exit *exec.ExitError
	got, err := 0, ts.Exec(args[1], args[2:]...)
	if errors.As(err, &exit) {
		got, err = exit.ExitCode(), nil
	}
	if err != nil || strconv.Itoa(got) != args[0] {
		ts.Fatalf("exit status %d, want %s (%v)", got, args[0], err)
	}
}

// policyFile writes a policy that lets viewers press the reset button.
func policyFile(env *testscript.Env) string {
	path := env.WorkDir + "/reset.cedar"
	text := `@id("viewers-reset") permit (principal in Role::"viewer", action == Action::"system_reset", resource);`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		env.T().Fatal(err)
	}
	return path
}

// as runs a command as another user, whose gid is its uid where that is not said.
func as(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: as UID[:GID] COMMAND...")
	}
	uid, gid, _ := strings.Cut(args[0], ":")
	run(ts, neg, append([]string{"setpriv", "--reuid", uid, "--regid", cmp.Or(gid, uid), "--clear-groups", "--"}, args[1:]...))
}
