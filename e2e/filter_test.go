package e2e_test

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/e2e/rig"
)

// filterVariable makes this program one that allows itself and what it becomes, its arguments, only the
// system calls that are listed there by number, as systemd does.
const filterVariable = "E2E_SYSTEM_CALLS"

// filtered is what this program does when it has filterVariable; it returns only if that fails.
func filtered(numbers string) error {
	program := []bpf.Instruction{bpf.LoadAbsolute{Off: 0, Size: 4}} // seccomp_data.nr
	for field := range strings.FieldsSeq(numbers) {
		n, err := strconv.ParseUint(field, 10, 32)
		if err != nil {
			return err
		}
		program = append(program, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(n), SkipTrue: 1},
			bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW})
	}
	raw, err := bpf.Assemble(append(program, bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)}))
	if err != nil {
		return err
	}
	code := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		code[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	if err := os.Unsetenv(filterVariable); err != nil {
		return err
	}
	runtime.LockOSThread() // the thread that executes the program is the one that goes on
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	list := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&list))); errno != 0 {
		return errno
	}
	return syscall.Exec(os.Args[1], os.Args[1:], os.Environ())
}

// unitCalls are the numbers of the system calls that a unit's SystemCallFilter= allows.
func unitCalls(t *testing.T, unit string) string {
	t.Helper()
	sets, numbers := callSets(t), callNumbers(t)
	allowed := sets.expand("@default")
	for _, line := range regexp.MustCompile(`(?m)^SystemCallFilter=(~?)(.*)$`).FindAllStringSubmatch(unit, -1) {
		for name := range strings.FieldsSeq(line[2]) {
			for call := range sets.expand(name) {
				if line[1] == "~" {
					delete(allowed, call)
				} else {
					allowed[call] = true
				}
			}
		}
	}
	var list []string
	for call := range allowed {
		if number, found := numbers[call]; found { // others are of other machines
			list = append(list, number)
		}
	}
	if len(list) < 100 {
		t.Fatalf("the unit allows %d system calls; it is misread", len(list))
	}
	return strings.Join(slices.Sorted(slices.Values(list)), " ")
}

// callGroups are systemd's sets of system calls.
type callGroups map[string][]string

func (g callGroups) expand(name string) map[string]bool {
	if !strings.HasPrefix(name, "@") {
		return map[string]bool{name: true}
	}
	calls := map[string]bool{}
	for _, one := range g[name] {
		maps.Copy(calls, g.expand(one))
	}
	return calls
}

// callSets has systemd tell them.
func callSets(t *testing.T) callGroups {
	t.Helper()
	out, err := exec.Command("systemd-analyze", "--no-pager", "syscall-filter").Output()
	if err != nil {
		t.Fatal(err)
	}
	sets, current := callGroups{}, ""
	for line := range strings.Lines(string(out)) {
		name := strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "@"):
			current = name
		case !strings.HasPrefix(line, " "): // what is in no set
			current = ""
		case current != "" && name != "" && !strings.HasPrefix(name, "#"):
			sets[current] = append(sets[current], name)
		}
	}
	return sets
}

// callNumbers has the C headers tell the numbers of this machine.
func callNumbers(t *testing.T) map[string]string {
	t.Helper()
	rig.Require(t, "gcc")
	out, err := exec.Command("gcc", "-E", "-dM", "-include", "asm/unistd.h", "-x", "c", os.DevNull).Output()
	if err != nil {
		t.Fatal(err)
	}
	numbers := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^#define __NR_(\w+) (\d+)$`).FindAllStringSubmatch(string(out), -1) {
		numbers[m[1]] = m[2]
	}
	return numbers
}

// underFilter makes a command line one that runs with only those system calls; it goes on as the
// command's user, who need not reach this program's file: descriptor is that, open.
func underFilter(descriptor int, line []string) []string {
	return append([]string{fmt.Sprintf("/proc/self/fd/%d", descriptor)}, line...)
}
