package bus

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/bridge/trusted"
)

// parentMode is that of the directories above the bus's own which we make.
const parentMode = 0o755

// directory is the bus's own directory, locked for us while it is open. Only
// its owner, the daemon's user, can make or rename anything in it, and nobody but
// root and ourselves can replace it or a directory above it; so its path is safe to use.
type directory struct {
	path string // without symbolic links
	door door
	lock *os.File // the directory itself
	made bool     // by us, or by a bridge that could not remove it
}

// openDirectory makes the directory at path as the door says, or takes the one that
// is there if it is ours, no other bridge uses it, and it lets in nobody else or
// was left by a bridge.
func openDirectory(path string, door door) (*directory, error) {
	parent, err := trustedParent(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	d := &directory{path: filepath.Join(parent, filepath.Base(path)), door: door}
	err = os.Mkdir(d.path, privateMode)
	d.made = err == nil
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	if err := d.open(); err != nil {
		return nil, err
	}
	return d, nil
}

// trustedParent makes the missing directories of path and returns it without
// symbolic links, having checked that everything above is safe.
func trustedParent(path string) (string, error) {
	real, err := ownDirectory(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return real, err
	}
	above, err := trustedParent(filepath.Dir(path))
	if err != nil {
		return "", err
	}
	real = filepath.Join(above, filepath.Base(path))
	err = makeDirectory(real, parentMode)
	if err != nil && !errors.Is(err, fs.ErrExist) { // another bridge may be as far
		return "", err
	}
	return ownDirectory(real)
}

func ownDirectory(path string) (string, error) {
	return trusted.Directory(path, uint32(os.Geteuid()), trusted.NoGroup)
}

// makeDirectory makes one directory with exactly mode, whatever the umask.
func makeDirectory(path string, mode fs.FileMode) error {
	if err := os.Mkdir(path, 0o700); err != nil {
		return err
	}
	return os.Chmod(path, mode)
}

// open locks and checks the directory that is at the path now.
func (d *directory) open() error {
	f, err := os.OpenFile(d.path, unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return fmt.Errorf("%s is not a directory (a symbolic link isn't taken for one)", d.path)
	}
	if err != nil {
		return err
	}
	if err := d.adopt(f); err != nil {
		f.Close()
		return err
	}
	d.lock = f
	return nil
}

// adopt locks and checks the directory, and makes it what it is to be. Whether it is in use
// is asked first: what another bridge uses is not to be changed, whatever its mode.
func (d *directory) adopt(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := d.door.checkOwner(info); err != nil {
		return fmt.Errorf("%s %w", d.path, err)
	}
	// Another bridge that ends removes the directory before it unlocks it: then
	// what we have locked is not what is at the path.
	if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil || !d.isAtPath(info) {
		return fmt.Errorf("%s is in use by another bridge: choose another with --name or --bus-dir", d.path)
	}
	if info, err = f.Stat(); err != nil { // as whoever had the lock left it
		return err
	}
	if err := d.checkLeftover(info); err != nil {
		return fmt.Errorf("%s %w", d.path, err)
	}
	err = d.door.apply(f, info)
	if err != nil && d.made {
		err = errors.Join(err, os.Remove(d.path))
	}
	return err
}

// become changes what the directory, which is adopted, is to be.
func (d *directory) become(door door) error {
	info, err := d.lock.Stat()
	if err != nil {
		return err
	}
	d.door = door
	return d.door.apply(d.lock, info)
}

func (d *directory) isAtPath(info fs.FileInfo) bool {
	now, err := os.Lstat(d.path)
	return err == nil && os.SameFile(info, now)
}

// obstacle is the first directory above d that others may not pass, so that d's
// own mode doesn't help them; empty if there is none.
func (d *directory) obstacle() string {
	for path := d.path; path != "/"; {
		path = filepath.Dir(path)
		if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o001 == 0 {
			return path
		}
	}
	return ""
}
