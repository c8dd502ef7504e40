//go:build cgo

package sandbox

import "golang.org/x/sys/unix"

// ofLibc are the calls that glibc's threads and allocator make besides; the race detector is a
// program with C code. The bridge as it is built by make has none.
var ofLibc = []uint32{unix.SYS_SET_ROBUST_LIST, unix.SYS_RSEQ, unix.SYS_MREMAP}
