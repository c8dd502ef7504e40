package picture

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// File is what QEMU writes a picture into. It is for one goroutine at a time.
type File struct {
	file   *os.File
	writer int // the same opened for writing only, which is what QEMU looks for in an fdset
}

// NewFile makes an empty one.
func NewFile() (*File, error) {
	file, err := newMemory("screenshot of QEMU")
	if err != nil {
		return nil, err
	}
	writer, err := reopen(file, unix.O_WRONLY)
	if err != nil {
		file.Close()
		return nil, err
	}
	return &File{file, writer}, nil
}

// Writer is a descriptor for QEMU, which the caller owns. QEMU may keep it: what it can do to the file, and when, is
// harmless.
func (f *File) Writer() (int, error) {
	fd, err := unix.FcntlInt(uintptr(f.writer), unix.F_DUPFD_CLOEXEC, 0)
	return fd, os.NewSyscallError("fcntl", err)
}

// Empty lets go of what is in the file, and has QEMU write at its beginning again: QEMU truncates, but writes on where it
// was.
func (f *File) Empty() error {
	_, err := unix.Seek(f.writer, 0, io.SeekStart)
	return errors.Join(os.NewSyscallError("lseek", err), f.file.Truncate(0))
}

// Close lets go of the file, emptied in case QEMU keeps it.
func (f *File) Close() error {
	return errors.Join(f.Empty(), unix.Close(f.writer), f.file.Close())
}
