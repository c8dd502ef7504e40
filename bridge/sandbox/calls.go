//go:build amd64 || arm64

package sandbox

import (
	"os"

	"golang.org/x/sys/unix"
)

// usual are the calls that Go's runtime (1.26: runtime/sys_linux_*.s, internal/runtime/syscall)
// and the bridge make whatever their arguments, most frequent first. Rare ones that no test
// makes are here too.
var usual = []uint32{
	unix.SYS_FUTEX, unix.SYS_EPOLL_PWAIT, unix.SYS_READ, unix.SYS_WRITE, unix.SYS_RECVMSG, unix.SYS_SENDMSG,
	unix.SYS_EPOLL_CTL, unix.SYS_NANOSLEEP, unix.SYS_SCHED_YIELD,
	// Time, memory, threads, signals.
	unix.SYS_PPOLL, unix.SYS_CLOCK_GETTIME, unix.SYS_CLOCK_NANOSLEEP, unix.SYS_MUNMAP, unix.SYS_MADVISE, unix.SYS_MINCORE, unix.SYS_BRK,
	unix.SYS_EXIT, unix.SYS_EXIT_GROUP, unix.SYS_GETTID, unix.SYS_GETPID, unix.SYS_SCHED_GETAFFINITY,
	unix.SYS_RT_SIGRETURN, unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_SIGALTSTACK,
	unix.SYS_RESTART_SYSCALL, unix.SYS_GETRANDOM,
	unix.SYS_TIMER_CREATE, unix.SYS_TIMER_SETTIME, unix.SYS_TIMER_DELETE, unix.SYS_SETITIMER,
	unix.SYS_EPOLL_CREATE1, unix.SYS_EPOLL_PWAIT2, unix.SYS_EVENTFD2, unix.SYS_PIPE2,
	// Descriptors, whatever they stand for.
	unix.SYS_CLOSE, unix.SYS_DUP, unix.SYS_DUP3, unix.SYS_READV, unix.SYS_WRITEV, unix.SYS_PREAD64,
	unix.SYS_PWRITE64, unix.SYS_LSEEK, unix.SYS_FSTAT, unix.SYS_FSYNC, unix.SYS_FDATASYNC, unix.SYS_FTRUNCATE,
	unix.SYS_FLOCK, unix.SYS_MEMFD_CREATE,
	// Unix sockets. The journal's own client binds to an address that the kernel chooses.
	unix.SYS_CONNECT, unix.SYS_BIND, unix.SYS_SENDTO, unix.SYS_RECVFROM, unix.SYS_SHUTDOWN,
	unix.SYS_GETSOCKNAME, unix.SYS_GETPEERNAME,
	// Files by name, where landlock lets them.
	sysNewfstatat, unix.SYS_STATX, unix.SYS_FACCESSAT, unix.SYS_FACCESSAT2, unix.SYS_READLINKAT, unix.SYS_GETCWD,
	unix.SYS_GETDENTS64, unix.SYS_UNLINKAT,
	// Children that are there.
	unix.SYS_WAIT4, unix.SYS_WAITID,
	// Who and where we are.
	unix.SYS_GETPPID, unix.SYS_GETUID, unix.SYS_GETEUID, unix.SYS_GETGID, unix.SYS_GETEGID, unix.SYS_GETGROUPS, unix.SYS_UNAME,
}

// probed are answered "no such call": the C library then takes the older one, whose arguments can
// be looked at.
var probed = []uint32{unix.SYS_CLONE3}

// attacks kill the process.
var attacks = []uint32{
	unix.SYS_EXECVE, unix.SYS_EXECVEAT,
	unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_PROCESS_MADVISE, unix.SYS_KCMP,
	unix.SYS_PIDFD_GETFD, unix.SYS_PERF_EVENT_OPEN, unix.SYS_PERSONALITY, unix.SYS_PKEY_MPROTECT,
	unix.SYS_REMAP_FILE_PAGES, unix.SYS_USERFAULTFD, unix.SYS_MEMFD_SECRET,
	unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER, unix.SYS_BPF, unix.SYS_SECCOMP,
	unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_KEYCTL,
	unix.SYS_UNSHARE, unix.SYS_SETNS, unix.SYS_CHROOT, unix.SYS_PIVOT_ROOT,
	unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_MOUNT_SETATTR, unix.SYS_MOVE_MOUNT, unix.SYS_OPEN_TREE,
	unix.SYS_FSOPEN, unix.SYS_FSCONFIG, unix.SYS_FSMOUNT, unix.SYS_FSPICK,
	unix.SYS_SETUID, unix.SYS_SETGID, unix.SYS_SETREUID, unix.SYS_SETREGID, unix.SYS_SETRESUID, unix.SYS_SETRESGID,
	unix.SYS_SETFSUID, unix.SYS_SETFSGID, unix.SYS_SETGROUPS, unix.SYS_CAPSET,
	unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_MKNODAT, unix.SYS_QUOTACTL, unix.SYS_SWAPON, unix.SYS_SWAPOFF,
	unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE, unix.SYS_KEXEC_LOAD, unix.SYS_KEXEC_FILE_LOAD,
	unix.SYS_REBOOT, unix.SYS_SETTIMEOFDAY, unix.SYS_CLOCK_SETTIME, unix.SYS_CLOCK_ADJTIME, unix.SYS_ADJTIMEX,
	unix.SYS_SETHOSTNAME, unix.SYS_SETDOMAINNAME,
}

// newNamespaces are the flags of clone for namespaces, which a thread could have of its own.
const newNamespaces = unix.CLONE_NEWCGROUP | unix.CLONE_NEWIPC | unix.CLONE_NEWNET | unix.CLONE_NEWNS |
	unix.CLONE_NEWPID | unix.CLONE_NEWUSER | unix.CLONE_NEWUTS

// setID are the bits of a file's mode that make who executes it its owner. Whoever
// opens a file without making it gives no mode.
const setID = unix.S_ISUID | unix.S_ISGID

// conditional are the calls that depend on arguments. The kernel takes the lower half of these
// arguments, or looks for flags in it, and so do we.
//
// A process descriptor can come from anybody, through a socket, and its number says nothing of whom
// it stands for: so children are signalled by their ids (package child) and by nothing else.
func (c Config) conditional() []call {
	self := uint32(os.Getpid())
	signalled := []uint32{self} // raising a signal
	for _, child := range c.Children {
		signalled = append(signalled, uint32(child))
	}
	// What package socket looks at, and package net sets. Others give descriptors of the peer's process.
	socketOptions := []uint32{unix.SO_ERROR, unix.SO_PEERCRED, unix.SO_DOMAIN, unix.SO_TYPE}
	var listeners []uint32
	for _, fd := range c.Accept {
		listeners = append(listeners, uint32(fd))
	}
	if len(listeners) > 0 { // and who those are that have come in
		socketOptions = append(socketOptions, unix.SO_PEERGROUPS, unix.SO_PEERSEC)
	}
	return []call{
		{unix.SYS_MMAP, refuse, []condition{{2, lacks(unix.PROT_EXEC)}}},
		{unix.SYS_MPROTECT, refuse, []condition{{2, lacks(unix.PROT_EXEC)}}},
		{unix.SYS_TGKILL, refuse, []condition{{0, is(self)}}},
		{unix.SYS_KILL, refuse, []condition{{0, is(signalled...)}}},
		{unix.SYS_CLONE, kill, []condition{{0, has(unix.CLONE_THREAD)}, {0, lacks(newNamespaces)}}},
		{unix.SYS_SOCKET, refuse, []condition{{0, is(unix.AF_UNIX)}}},
		{unix.SYS_SOCKETPAIR, refuse, []condition{{0, is(unix.AF_UNIX)}}},
		{unix.SYS_GETSOCKOPT, refuse, []condition{{1, is(unix.SOL_SOCKET)}, {2, is(socketOptions...)}}},
		{unix.SYS_ACCEPT4, refuse, []condition{{0, is(listeners...)}}},
		{unix.SYS_SETSOCKOPT, refuse, []condition{{1, is(unix.SOL_SOCKET)}, {2, is(unix.SO_BROADCAST)}}},
		// Others have the kernel send a signal of our choice to a process of our choice. Beside F_SETFL
		// none has an argument with that bit.
		{unix.SYS_FCNTL, refuse, []condition{
			{1, is(unix.F_DUPFD_CLOEXEC, unix.F_GETFD, unix.F_SETFD, unix.F_GETFL, unix.F_SETFL, unix.F_ADD_SEALS, unix.F_GET_SEALS)},
			{2, lacks(unix.O_ASYNC)},
		}},
		// Landlock before its third version lets a file that may be read be truncated.
		{unix.SYS_OPENAT, refuse, []condition{{2, lacks(unix.O_TRUNC)}, {3, lacks(setID)}}},
		{unix.SYS_PRCTL, refuse, []condition{{0, is(unix.PR_SET_VMA)}}}, // names of mappings
	}
}
