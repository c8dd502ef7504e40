package sandbox

import "golang.org/x/sys/unix"

// machine is how the kernel names this architecture's calls; those of x32 are unknown numbers
// of it.
const machine = unix.AUDIT_ARCH_X86_64

const sysNewfstatat = unix.SYS_NEWFSTATAT

// oldAttacks are calls that newer architectures don't have.
var oldAttacks = []uint32{
	unix.SYS_FORK, unix.SYS_VFORK, unix.SYS_MODIFY_LDT, unix.SYS_USELIB, unix.SYS_IOPL, unix.SYS_IOPERM, unix.SYS_MKNOD,
}
