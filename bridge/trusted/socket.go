package trusted

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
)

// RemoveSocket removes the socket at path that a program has left which has ended, and tells whether there was one. Where
// nothing is at the path, that is no error; the errors about what stays say what it is, or why that is not known, and not what to do.
func RemoveSocket(path string) (removed bool, err error) {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case info.Mode().Type() != fs.ModeSocket:
		return false, fmt.Errorf("%s is there, and is no socket", path)
	}
	conn, err := net.Dial("unix", path)
	switch {
	case err == nil:
		conn.Close()
		return false, fmt.Errorf("%s is the socket of a program that is running", path)
	case !errors.Is(err, syscall.ECONNREFUSED): // by which the kernel says that nobody listens
		return false, fmt.Errorf("%s may be the socket of a program that is running: %w", path, err)
	}
	if err := os.Remove(path); err != nil {
		return false, err
	}
	return true, nil
}
