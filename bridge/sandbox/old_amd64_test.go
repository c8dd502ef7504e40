package sandbox_test

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// deniedOld are calls that newer architectures don't have.
var deniedOld = []act{
	{"call/make set-uid by open", func(s *stage) error {
		return withPath(unix.SYS_OPEN, s.in("append/new"), unix.O_WRONLY|unix.O_CREAT, 0o4755)
	}},
	{"call/make set-uid by creat", func(s *stage) error { return withPath(unix.SYS_CREAT, s.in("append/new"), 0o4755, 0) }},
	{"call/set-uid by chmod", func(s *stage) error { return withPath(unix.SYS_CHMOD, s.in("append/file"), 0o4755, 0) }},
	{"call/make set-gid directory by mkdir", func(s *stage) error { return withPath(unix.SYS_MKDIR, s.in("append/new"), 0o2755, 0) }},
}

// deadlyOld are such calls as well.
var deadlyOld = []act{
	{"deadly/mknod", func(s *stage) error { return withPath(unix.SYS_MKNOD, s.in("append/new"), unix.S_IFREG|0o4755, 0) }},
}

// withPath makes a system call on a file.
func withPath(number uintptr, path string, second, third uintptr) error {
	name, err := unix.BytePtrFromString(path)
	if err != nil {
		return err
	}
	if _, _, errno := unix.Syscall(number, uintptr(unsafe.Pointer(name)), second, third); errno != 0 {
		return errno
	}
	return nil
}
