package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/godbus/dbus/v5"

	"qmp-dbus-bridge/e2e/rig"
)

// TestSandbox goes through a whole life of the confined bridge on both buses: as it is released, without C code,
// and with the race detector, whose C library makes other system calls.
func TestSandbox(t *testing.T) {
	released := filepath.Join(rig.TempDir(t), "qmp-dbus-bridge")
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", released, "qmp-dbus-bridge/cmd/qmp-dbus-bridge")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	for name, binary := range map[string]string{"released": released, "race": program} {
		t.Run(name, func(t *testing.T) {
			onBothBuses(t, func(t *testing.T, flags []string) { testSandbox(t, binary, flags) })
		})
	}
}

func testSandbox(t *testing.T, binary string, flags []string) {
	dir, busDir := rig.TempDir(t), filepath.Join(rig.TempDir(t), "bus")
	policy, audit := filepath.Join(dir, "vm.cedar"), filepath.Join(dir, "log", "audit")
	if err := os.Mkdir(filepath.Dir(audit), 0o700); err != nil {
		t.Fatal(err)
	}
	writePolicy(t, policy, viewing("query-status"))
	vm := rig.StartQEMU(t, rig.QEMU{Dir: dir, Args: []string{"-name", "first"}})
	socket := filepath.Join(dir, "listen")
	args := append([]string{"serve", "--qmp", vm.Monitors[0], "--policy", policy, "--audit", audit, "--qmp-listen", socket}, flags...)
	if len(flags) == 0 {
		args = append(args, "--bus-dir", busDir)
	}
	p := rig.Start(t, exec.Command(binary, args...))
	p.WaitOutput(t, "bus=")
	t.Cleanup(func() { noRaces(t, p) })
	conn := rig.Self().MustDial(t, readyAddress(p.Output()))
	requireConfined(t, p.PID())

	signals := watch(t, conn, dbus.WithMatchInterface(propsIf))
	vm.Signal(t, syscall.SIGKILL)
	next(t, signals)
	rig.StartQEMU(t, rig.QEMU{Dir: dir, Awaited: true, Args: []string{"-name", "second"}})
	next(t, signals)
	if got := get[string](t, conn, "Name"); got != "second" {
		t.Errorf("Name = %q, want second", got)
	}
	reply, err := qmp(conn, "query-block", nil)
	if err != nil {
		t.Errorf("query-block: %v, %v", reply, err)
	}
	printed, status := python(t, rig.Self(), `print(Client(connect(sys.argv[1])).command("query-name"))`, socket)
	if want := "{'return': {'name': 'second'}}\n"; status != 0 || printed != want {
		t.Errorf("a QMP client: exit status %d, %q, want %q", status, printed, want)
	}
	requireConfined(t, p.PID()) // threads that came since

	recorded := func(file, action string) func() bool {
		return func() bool {
			text, err := os.ReadFile(file)
			return err == nil && strings.Contains(string(text), `"action":"`+action+`"`)
		}
	}
	rig.Eventually(t, "query-block is recorded", recorded(audit, "query-block"))
	if err := os.Rename(audit, audit+".1"); err != nil {
		t.Fatal(err)
	}
	writePolicy(t, policy, viewing("query-block"))
	p.Signal(t, syscall.SIGHUP)
	rig.Eventually(t, "the audit is reopened and the policy read", func() bool {
		_, err := os.Stat(audit)
		return err == nil && strings.Count(p.Output(), "the policy is in force") == 2
	})
	if _, err := qmp(conn, "query-cpus-fast", nil); err != nil {
		t.Error(err)
	}

	p.Signal(t, syscall.SIGTERM)
	if status := p.Wait(t); status != 0 || strings.Contains(p.Output(), "operation not permitted") {
		t.Errorf("exit status %d:\n%s", status, p.Output())
	}
	for _, path := range []string{busDir, socket} {
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("%s is left: %v", path, err)
		}
	}
	if !recorded(audit, "query-cpus-fast")() || recorded(audit, "query-block")() {
		t.Error("the audit did not go on in the new file")
	}
}

// viewing is a policy that lets uid 1 use one command.
func viewing(command string) string {
	return fmt.Sprintf("permit (principal in User::\"1\", action == Action::%q, resource);\n", command)
}

// requireConfined looks at each thread of a process from outside.
func requireConfined(t *testing.T, pid int) {
	t.Helper()
	threads := confinedThreads(t, pid)
	for status := range threads {
		if status != "NoNewPrivs:1 Seccomp:2" {
			t.Errorf("threads are %v, want all NoNewPrivs:1 Seccomp:2", threads)
		}
	}
}

// confinedThreads counts the threads of a process by what the kernel tells of them.
func confinedThreads(t *testing.T, pid int) map[string]int {
	t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(tasks) == 0 {
		t.Fatalf("process %d has no threads: %v", pid, err)
	}
	threads := map[string]int{}
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		if err != nil {
			continue // it has ended
		}
		var of []string
		for line := range strings.Lines(string(text)) {
			if name, value, _ := strings.Cut(line, ":"); name == "NoNewPrivs" || name == "Seccomp" {
				of = append(of, name+":"+strings.TrimSpace(value))
			}
		}
		threads[strings.Join(of, " ")]++
	}
	return threads
}

// TestUnreadableMappings has a kernel that does not tell where the program is in memory: then its memory is not given
// back, and all else goes on.
func TestUnreadableMappings(t *testing.T) {
	rig.RequireRoot(t)
	rig.Require(t, "unshare", "mount")
	vm := rig.StartQEMU(t, rig.QEMU{})
	const hide = `mount --bind /proc/$$/mem /proc/$$/smaps && exec "$0" "$@"` // reading it is an I/O error
	p := rig.Start(t, exec.Command("unshare", "--mount", "sh", "-c", hide, program, "serve", "--qmp", vm.Monitors[0],
		"--bus-dir", filepath.Join(rig.TempDir(t), "bus")))
	p.WaitOutput(t, "bus=")
	t.Cleanup(func() { noRaces(t, p) })
	if want := "memory of the program will not be given back"; !strings.Contains(p.Output(), want) {
		t.Errorf("the log does not say %q:\n%s", want, p.Output())
	}
	if got := get[bool](t, rig.Self().MustDial(t, readyAddress(p.Output())), "Connected"); !got {
		t.Error("Connected is false")
	}
	p.Signal(t, syscall.SIGTERM)
	if status := p.Wait(t); status != 0 {
		t.Errorf("exit status %d:\n%s", status, p.Output())
	}
}

// TestSandboxOfRun is that QEMU and the bus have nothing of the bridge's sandbox, and that it
// can be left out.
func TestSandboxOfRun(t *testing.T) {
	for flag, want := range map[string]string{"": "NoNewPrivs:1 Seccomp:2", "--sandbox=off": "NoNewPrivs:0 Seccomp:0"} {
		var flags []string
		if flag != "" {
			flags = append(flags, flag)
		}
		b := runVM(t, flags)
		if threads := confinedThreads(t, b.PID()); len(threads) != 1 || threads[want] == 0 {
			t.Errorf("with %q the bridge's threads are %v, want all %s", flag, threads, want)
		}
		for _, child := range rig.Children(t, b.PID()) {
			if threads := confinedThreads(t, child); len(threads) != 1 || threads["NoNewPrivs:0 Seccomp:0"] == 0 {
				t.Errorf("%s got %v", rig.Name(t, child), threads)
			}
		}
	}
}
