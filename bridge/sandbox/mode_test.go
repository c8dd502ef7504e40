package sandbox_test

import "golang.org/x/sys/unix"

// deniedModes would make a program that runs as the bridge's user, whoever starts it. The directory is one that files
// may be made in.
var deniedModes = []act{
	{"call/make set-uid", func(s *stage) error { return openMode(s.in("append/new"), unix.O_CREAT, 0o4755) }},
	{"call/make set-gid", func(s *stage) error { return openMode(s.in("append/new"), unix.O_CREAT, 0o2755) }},
	{"call/make set-uid without a name", func(s *stage) error { return openMode(s.in("append"), unix.O_TMPFILE, 0o4755) }},
	{"call/make set-uid by openat2", func(s *stage) error {
		_, err := unix.Openat2(unix.AT_FDCWD, s.in("append/new"), &unix.OpenHow{Flags: unix.O_WRONLY | unix.O_CREAT, Mode: 0o4755})
		return err
	}},
	{"call/make set-gid directory", func(s *stage) error { return unix.Mkdirat(unix.AT_FDCWD, s.in("append/new"), 0o2755) }},
	{"call/set-uid by fchmod", func(*stage) error { return unix.Fchmod(0, 0o4755) }},
	{"call/set-uid by fchmodat", func(s *stage) error { return unix.Fchmodat(unix.AT_FDCWD, s.in("append/file"), 0o4755, 0) }},
	{"call/set-uid by fchmodat2", func(s *stage) error {
		return unix.Fchmodat(unix.AT_FDCWD, s.in("append/file"), 0o4755, unix.AT_SYMLINK_NOFOLLOW)
	}},
	{"call/set-uid by file_setattr", func(*stage) error { return raw(unix.SYS_FILE_SETATTR, 0) }},
	{"call/capabilities by setxattr", func(s *stage) error {
		return unix.Setxattr(s.in("append/file"), "security.capability", fileCapabilities, 0)
	}},
	{"call/capabilities by fsetxattr", func(*stage) error { return unix.Fsetxattr(0, "security.capability", fileCapabilities, 0) }},
	{"call/capabilities by setxattrat", func(*stage) error { return raw(unix.SYS_SETXATTRAT, 0) }},
	{"call/rename over", func(s *stage) error {
		return unix.Renameat2(unix.AT_FDCWD, s.in("read/file"), unix.AT_FDCWD, s.in("append/file"), 0)
	}},
	{"call/another owner", func(s *stage) error { return unix.Fchownat(unix.AT_FDCWD, s.in("append/file"), 0, 0, 0) }},
	{"call/umask", func(*stage) error { return raw(unix.SYS_UMASK, 0) }},
}

// fileCapabilities are CAP_DAC_OVERRIDE, permitted and effective, as a file has them (struct vfs_cap_data, version 2).
var fileCapabilities = []byte{1, 0, 0, 2, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}

func openMode(path string, flags int, mode uint32) error {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC|flags, mode)
	if err == nil {
		unix.Close(fd)
	}
	return err
}
