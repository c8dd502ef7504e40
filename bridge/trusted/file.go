package trusted

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// OpenFile opens a regular file that belongs to root or to owner and that nobody else can write, or replace: see
// Directory. A symbolic link as the last part of the path is refused; a file made by flags gets mode 0600.
func OpenFile(path string, flags int, owner uint32, writers Writers) (*os.File, error) {
	parent, err := Directory(filepath.Dir(path), owner, writers)
	if err != nil {
		return nil, err
	}
	real := filepath.Join(parent, filepath.Base(path))
	// O_NONBLOCK: opening a FIFO must not wait for its other end.
	file, err := os.OpenFile(real, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if errors.Is(err, unix.ELOOP) {
		return nil, fmt.Errorf("%s: is a symbolic link", path)
	}
	if err != nil {
		return nil, err
	}
	if err := checkFile(file, owner); err != nil {
		file.Close()
		return nil, fmt.Errorf("%s: %v", path, err)
	}
	return file, nil
}

func checkFile(file *os.File, owner uint32) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok || !info.Mode().IsRegular():
		return errors.New("not a regular file")
	case stat.Uid != 0 && stat.Uid != owner:
		return fmt.Errorf("belongs to uid %d, neither to root nor to uid %d", stat.Uid, owner)
	case info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("mode %04o lets others write it", info.Mode().Perm())
	}
	return nil
}
