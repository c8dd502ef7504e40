package sandbox_test

import (
	"errors"
	"net"
	"os"
	"slices"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// acts are all that a process of these tests may be told to do.
func acts() []act {
	return slices.Concat(allDeniedByCalls(), deniedByFiles, needed, deadly())
}

// allDeniedByCalls are all that fail by the filter of system calls.
func allDeniedByCalls() []act {
	return slices.Concat(deniedByCalls, deniedModes, deniedSignals, deniedOld)
}

// deniedByCalls are those of them that belong to no other list.
var deniedByCalls = []act{
	{"call/internet socket", func(*stage) error { return newSocket(unix.AF_INET) }},
	{"call/internet 6 socket", func(*stage) error { return newSocket(unix.AF_INET6) }},
	{"call/netlink socket", func(*stage) error { return newSocket(unix.AF_NETLINK) }},
	{"call/packet socket", func(*stage) error { return newSocket(unix.AF_PACKET) }},
	{"call/vsock socket", func(*stage) error { return newSocket(unix.AF_VSOCK) }},
	{"call/listen", func(*stage) error { return listen() }},
	{"call/accept elsewhere", func(s *stage) error { _, _, err := unix.Accept4(s.shut, unix.SOCK_NONBLOCK); return err }},
	{"call/accept by the older call", func(s *stage) error {
		_, _, errno := unix.RawSyscall(unix.SYS_ACCEPT, uintptr(s.door), 0, 0)
		return errno
	}},
	{"call/descriptor of the peer's process", func(s *stage) error {
		_, err := unix.GetsockoptInt(s.door, unix.SOL_SOCKET, unix.SO_PEERPIDFD)
		return err
	}},
	{"call/executable memory", func(*stage) error { return mapPages(unix.PROT_READ | unix.PROT_EXEC) }},
	{"call/memory made executable", func(*stage) error { return protect(unix.PROT_READ | unix.PROT_EXEC) }},
	{"call/signal to the parent", func(*stage) error { return unix.Kill(os.Getppid(), 0) }},
	{"call/signal to a thread of the parent", func(*stage) error { return unix.Tgkill(os.Getppid(), os.Getppid(), 0) }},
	{"call/process descriptor of another", func(*stage) error { _, err := unix.PidfdOpen(os.Getppid(), 0); return err }},
	{"call/dumpable", func(*stage) error { return unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0) }},
	{"call/terminal input", func(*stage) error { return unix.IoctlSetInt(0, unix.TIOCSTI, 0) }},
	{"call/truncate on opening", func(s *stage) error { return open(s.in("read/file"), unix.O_RDONLY|unix.O_TRUNC) }},
	{"call/truncate", func(s *stage) error { return unix.Truncate(s.in("append/file"), 0) }},
	{"call/mkdir", func(s *stage) error { return os.Mkdir(s.in("append/new"), 0o700) }},
	{"call/rename", func(s *stage) error { return os.Rename(s.in("append/file"), s.in("append/new")) }},
	{"call/link", func(s *stage) error { return os.Link(s.in("append/file"), s.in("append/new")) }},
	{"call/symlink", func(s *stage) error { return os.Symlink("/etc/passwd", s.in("append/new")) }},
	{"call/chmod", func(s *stage) error { return os.Chmod(s.in("append/file"), 0o777) }},
	{"call/limits", func(*stage) error {
		return unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 64, Max: 64})
	}},
}

// deniedByFiles fail by landlock.
var deniedByFiles = []act{
	{"file/read elsewhere", func(s *stage) error { return open(s.in("other/file"), unix.O_RDONLY) }},
	{"file/read on an older thread", func(s *stage) error {
		return s.first.do(func() error { return open(s.in("other/file"), unix.O_RDONLY) })
	}},
	{"file/read through a link", func(s *stage) error { return open(s.in("read/../other/file"), unix.O_RDONLY) }},
	{"file/read what is appended to", func(s *stage) error { return open(s.in("append/file"), unix.O_RDONLY) }},
	{"file/read the system's users", func(*stage) error { return open("/etc/passwd", unix.O_RDONLY) }},
	{"file/read our own memory", func(*stage) error { return open("/proc/self/mem", unix.O_RDONLY) }},
	{"file/list", func(s *stage) error { _, err := os.ReadDir(s.in("read")); return err }},
	{"file/write what is read", func(s *stage) error { return open(s.in("read/file"), unix.O_WRONLY) }},
	{"file/write elsewhere", func(s *stage) error { return open(s.in("other/file"), unix.O_WRONLY|unix.O_APPEND) }},
	{"file/make elsewhere", func(s *stage) error { return open(s.in("other/new"), unix.O_WRONLY|unix.O_CREAT) }},
	{"file/make where files are read", func(s *stage) error { return open(s.in("read/new"), unix.O_WRONLY|unix.O_CREAT) }},
	{"file/make where files are removed", func(s *stage) error { return open(s.in("remove/new"), unix.O_WRONLY|unix.O_CREAT) }},
	{"file/remove elsewhere", func(s *stage) error { return unix.Unlink(s.in("other/file")) }},
	{"file/remove what is appended to", func(s *stage) error { return unix.Unlink(s.in("append/file")) }},
	{"file/make where sockets are removed", func(s *stage) error { return open(s.in("unlink/new"), unix.O_WRONLY|unix.O_CREAT) }},
	{"file/socket", func(s *stage) error { return bind(s.in("append/socket")) }},
}

// deadly end the process by SIGSYS.
func deadly() []act {
	all := []act{
		{"deadly/fork and exec", func(*stage) error {
			_, err := syscall.ForkExec("/bin/true", []string{"true"}, nil)
			return err
		}},
		{"deadly/exec on an older thread", func(s *stage) error {
			return s.first.do(func() error { return syscall.Exec("/bin/true", []string{"true"}, nil) })
		}},
		{"deadly/exec from memory", func(*stage) error { return execMemory() }},
		{"deadly/clone", func(*stage) error { return raw(unix.SYS_CLONE, uintptr(unix.SIGCHLD)) }},
		{"deadly/clone with a namespace", func(*stage) error {
			return raw(unix.SYS_CLONE, unix.CLONE_THREAD|unix.CLONE_NEWNET)
		}},
	}
	for name, number := range map[string]uintptr{
		"execve": unix.SYS_EXECVE, "execveat": unix.SYS_EXECVEAT,
		"ptrace": unix.SYS_PTRACE, "process_vm_readv": unix.SYS_PROCESS_VM_READV, "process_vm_writev": unix.SYS_PROCESS_VM_WRITEV,
		"pidfd_getfd": unix.SYS_PIDFD_GETFD, "perf_event_open": unix.SYS_PERF_EVENT_OPEN,
		"personality": unix.SYS_PERSONALITY, "pkey_mprotect": unix.SYS_PKEY_MPROTECT, "userfaultfd": unix.SYS_USERFAULTFD,
		"io_uring_setup": unix.SYS_IO_URING_SETUP, "bpf": unix.SYS_BPF, "seccomp": unix.SYS_SECCOMP,
		"keyctl": unix.SYS_KEYCTL, "add_key": unix.SYS_ADD_KEY, "request_key": unix.SYS_REQUEST_KEY,
		"unshare": unix.SYS_UNSHARE, "setns": unix.SYS_SETNS, "chroot": unix.SYS_CHROOT, "pivot_root": unix.SYS_PIVOT_ROOT,
		"mount": unix.SYS_MOUNT, "umount2": unix.SYS_UMOUNT2, "open_tree": unix.SYS_OPEN_TREE, "fsopen": unix.SYS_FSOPEN,
		"setuid": unix.SYS_SETUID, "setresuid": unix.SYS_SETRESUID, "setgroups": unix.SYS_SETGROUPS, "capset": unix.SYS_CAPSET,
		"open_by_handle_at": unix.SYS_OPEN_BY_HANDLE_AT, "mknodat": unix.SYS_MKNODAT,
		"init_module": unix.SYS_INIT_MODULE, "finit_module": unix.SYS_FINIT_MODULE, "kexec_load": unix.SYS_KEXEC_LOAD,
	} {
		all = append(all, act{"deadly/" + name, func(*stage) error { return raw(number, 0) }})
	}
	return append(all, deadlyOld...)
}

// TestDeniedCalls is what an intruder gets an error for.
func TestDeniedCalls(t *testing.T) {
	said, _ := ends(t, "call")
	for _, a := range allDeniedByCalls() {
		if got := said[a.name]; got != "EPERM" {
			t.Errorf("%s: %q, want EPERM", a.name, got)
		}
	}
}

// TestDeniedFiles is the same for files.
func TestDeniedFiles(t *testing.T) {
	requireLandlock(t, 1)
	said, _ := ends(t, "file")
	for _, a := range deniedByFiles {
		if got := said[a.name]; got != "EACCES" {
			t.Errorf("%s: %q, want EACCES", a.name, got)
		}
	}
}

// TestDeadlyCalls is what an intruder does not survive.
func TestDeadlyCalls(t *testing.T) {
	for _, a := range deadly() {
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			said, ended := ends(t, a.name)
			if status := ended.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != unix.SIGSYS {
				t.Errorf("%v, having said %q; want death by SIGSYS", ended, said)
			}
		})
	}
}

// TestDeniedAbstract is reaching a socket that has no file.
func TestDeniedAbstract(t *testing.T) {
	requireLandlock(t, 6)
	listener, err := net.Listen("unix", "@sandbox-test-"+newDirectories(t))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	said, _ := ends(t, "need/connect to", peerVariable+"="+listener.Addr().String())
	if got := said["need/connect to"]; got != "EPERM" {
		t.Errorf("%q, want EPERM", got)
	}
}

func newSocket(family int) error {
	fd, err := unix.Socket(family, unix.SOCK_STREAM, 0)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

func listen() error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrUnix{}); err != nil {
		return err
	}
	return unix.Listen(fd, 1)
}

func bind(path string) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Bind(fd, &unix.SockaddrUnix{Name: path})
}

func open(path string, flags int) error {
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0o600)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

func mapPages(protection int) error {
	_, err := unix.Mmap(-1, 0, os.Getpagesize(), protection, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	return err
}

func protect(protection int) error {
	page, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return err
	}
	return unix.Mprotect(page, protection)
}

// raw makes a system call whose other arguments are 0.
func raw(number, argument uintptr) error {
	if _, _, errno := unix.RawSyscall(number, argument, 0, 0); errno != 0 {
		return errno
	}
	return errors.New("it succeeded")
}

// execMemory runs a program that was never in a file system.
func execMemory() error {
	fd, err := unix.MemfdCreate("program", 0)
	if err != nil {
		return err
	}
	if _, err := unix.Write(fd, []byte("#!/bin/true\n")); err != nil {
		return err
	}
	empty := []byte{0}
	_, _, errno := unix.Syscall6(unix.SYS_EXECVEAT, uintptr(fd), uintptr(unsafe.Pointer(&empty[0])), 0, 0, unix.AT_EMPTY_PATH, 0)
	return errno
}
