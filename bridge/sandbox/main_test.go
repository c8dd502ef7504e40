package sandbox_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/bridge/child"
	"qmp-dbus-bridge/bridge/sandbox"
)

// Variables of a process that the tests start: this program, which enters the sandbox and does
// what is listed under a name.
const (
	actVariable  = "SANDBOX_TEST_ACT"
	dirVariable  = "SANDBOX_TEST_DIR"
	lackVariable = "SANDBOX_TEST_LACK" // a system call that the kernel shall not have
)

func TestMain(m *testing.M) {
	if act, ok := os.LookupEnv(actVariable); ok {
		os.Exit(perform(act, os.Getenv(dirVariable)))
	}
	os.Exit(m.Run())
}

// act is something to do in the sandbox.
type act struct {
	name string
	do   func(*stage) error
}

// stage is where acts are done: the process, once confined.
type stage struct {
	dir   string       // with the directories read, append, remove, unlink and other
	child *child.Child // sleeps
	other int          // a process descriptor of our parent
	first *thread      // older than the sandbox
	door  int          // a socket that listens at unlink/door, at which connections may be accepted
	shut  int          // one at unlink/shut, at which they may not
	lacks []sandbox.Lack
}

// in is a path below the stage's directory.
func (s *stage) in(parts ...string) string {
	return filepath.Join(append([]string{s.dir}, parts...)...)
}

// newDirectories makes those of a stage, with a file in each.
func newDirectories(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "sandbox") // short enough for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	for _, name := range []string{"read", "append", "remove", "unlink", "other"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name, "file"), []byte("text"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// newStage has all that is made before a process is confined.
func newStage(dir string) (*stage, error) {
	runtime.LockOSThread() // for good: the child dies with the thread that starts it, and acts end threads
	sleep := exec.Command("sleep", "60")
	sleep.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	started, err := child.Start(sleep)
	if err != nil {
		return nil, err
	}
	parent, err := unix.PidfdOpen(os.Getppid(), 0)
	if err != nil {
		return nil, os.NewSyscallError("pidfd_open", err)
	}
	s := &stage{dir: dir, child: started, other: parent, first: newThread()}
	for name, fd := range map[string]*int{"door": &s.door, "shut": &s.shut} {
		if *fd, err = unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
			return nil, os.NewSyscallError("socket", err)
		}
		if err := errors.Join(unix.Bind(*fd, &unix.SockaddrUnix{Name: s.in("unlink", name)}), unix.Listen(*fd, 1)); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// perform enters the sandbox and does one act, or all of a list, telling how each ended.
func perform(name, dir string) int {
	s, err := newStage(dir)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	if call := os.Getenv(lackVariable); call != "" {
		if err := without(call); err != nil {
			fmt.Println(err)
			return 1
		}
	}
	s.lacks, err = sandbox.Config{
		Read: []string{s.in("read")}, Append: []string{s.in("append")}, Remove: []string{s.in("remove")},
		Unlink: []string{s.in("unlink")}, Accept: []int{s.door}, Children: []int{s.child.PID()},
	}.Enter()
	if err != nil {
		fmt.Println("enter:", err)
		return 1
	}
	for _, a := range acts() {
		if a.name == name || strings.HasPrefix(a.name, name+"/") {
			fmt.Printf("%s: %s\n", a.name, outcome(a.do(s)))
		}
	}
	return 0
}

// outcome is the name of a system call's error, or all of another one.
func outcome(err error) string {
	var errno syscall.Errno
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &errno):
		return unix.ErrnoName(errno)
	default:
		return err.Error()
	}
}

// without makes a system call unknown, as on an older kernel.
func without(call string) error {
	number := map[string]uint32{"landlock_create_ruleset": unix.SYS_LANDLOCK_CREATE_RULESET, "seccomp": unix.SYS_SECCOMP}[call]
	const ( // of struct seccomp_data
		numberOffset = 0
		wordSize     = 4
	)
	raw, err := bpf.Assemble([]bpf.Instruction{
		bpf.LoadAbsolute{Off: numberOffset, Size: wordSize},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: number, SkipTrue: 1},
		bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)},
		bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW},
	})
	if err != nil {
		return err
	}
	code := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		code[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	program := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	return raw3(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, unsafe.Pointer(&program))
}

func raw3(number, first, second uintptr, third unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(number, first, second, uintptr(third)); errno != 0 {
		return errno
	}
	return nil
}

// thread is one of the system's, which does what it is given.
type thread struct {
	work chan func() error
	done chan error
}

func newThread() *thread {
	t := &thread{make(chan func() error), make(chan error)}
	go func() {
		runtime.LockOSThread()
		for f := range t.work {
			t.done <- f()
		}
	}()
	return t
}

func (t *thread) do(f func() error) error {
	t.work <- f
	return <-t.done
}

// confined starts this program as a process that does an act.
func confined(t *testing.T, act string, more ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), actVariable+"="+act, dirVariable+"="+newDirectories(t)), more...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	return cmd
}

// ends runs such a process and returns how each of its acts ended, by name, and how it ended itself.
func ends(t *testing.T, act string, more ...string) (map[string]string, *os.ProcessState) {
	t.Helper()
	cmd := confined(t, act, more...)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	said := map[string]string{}
	lines := bufio.NewScanner(strings.NewReader(string(out)))
	for lines.Scan() {
		name, how, _ := strings.Cut(lines.Text(), ": ")
		said[name] = how
	}
	return said, cmd.ProcessState
}

// requireLandlock skips what needs that version of landlock.
func requireLandlock(t *testing.T, version int) {
	t.Helper()
	if got, err := ll.LandlockGetABIVersion(); err != nil || got < version {
		t.Skipf("this kernel has landlock version %d (%v), which only a newer kernel changes; want %d", got, err, version)
	}
}
