package rig

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// FDs are the open file descriptors of a process, as /proc/PID/fd shows them:
// what each number stands for ("socket:[123]", "/dev/null").
func FDs(t testing.TB, pid int) map[int]string {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	fds := map[int]string{}
	for _, e := range entries {
		n, _ := strconv.Atoi(e.Name())
		if target, err := os.Readlink(filepath.Join(dir, e.Name())); err == nil {
			fds[n] = target
		}
	}
	return fds
}

// UID is the effective uid of a process.
func UID(t testing.TB, pid int) uint32 {
	t.Helper()
	uid, err := strconv.ParseUint(strings.Fields(status(t, pid, "Uid"))[1], 10, 32)
	if err != nil {
		t.Fatalf("uid of process %d: %v", pid, err)
	}
	return uint32(uid)
}

// RSS is the resident memory of a process, bytes.
func RSS(t testing.TB, pid int) int {
	t.Helper()
	return size(t, pid, "VmRSS")
}

// Peak is the most resident memory that a process has had since ResetPeak, or its start, bytes.
func Peak(t testing.TB, pid int) int {
	t.Helper()
	return size(t, pid, "VmHWM")
}

// ResetPeak makes Peak begin anew.
func ResetPeak(t testing.TB, pid int) {
	t.Helper()
	const peak = "5" // proc_pid_clear_refs(5)
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte(peak), 0); err != nil {
		t.Fatal(err)
	}
}

// size is a field of /proc/PID/status that is one, in bytes.
func size(t testing.TB, pid int, field string) int {
	t.Helper()
	kib, err := strconv.Atoi(strings.TrimSuffix(status(t, pid, field), " kB"))
	if err != nil {
		t.Fatalf("%s of process %d: %v", field, pid, err)
	}
	return kib << 10
}

// status is the value of a field of /proc/PID/status.
func status(t testing.TB, pid int, field string) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "\n"+field+":")
	if !found {
		t.Fatalf("/proc/%d/status has no %s", pid, field)
	}
	value, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSpace(value)
}

// Alive reports whether a process with this id exists and is not a zombie.
func Alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, state, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(state, "Z") && !strings.HasPrefix(state, "X")
}

// Children are the process ids of a process's children.
func Children(t testing.TB, pid int) []int {
	t.Helper()
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid)) // a thread's own
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, list := range lists {
		text, err := os.ReadFile(list)
		if err != nil {
			continue // the thread has ended
		}
		for f := range strings.FieldsSeq(string(text)) {
			child, _ := strconv.Atoi(f)
			pids = append(pids, child)
		}
	}
	return pids
}

// Name is the name of a process's program, 15 bytes of it at most.
func Name(t testing.TB, pid int) string {
	t.Helper()
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(name))
}
