package sandbox

import "golang.org/x/sys/unix"

// machine is how the kernel names this architecture's calls.
const machine = unix.AUDIT_ARCH_AARCH64

const sysNewfstatat = unix.SYS_FSTATAT

// oldAttacks are calls that older architectures have.
var oldAttacks []uint32
