package bus

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"qmp-dbus-bridge/bridge/trusted"
)

// ourFiles are what is in the directory of a bus: its socket and its configuration.
var ourFiles = []string{"bus", "bus.conf"}

// clear removes a bus's remains, and fails if a live one still answers.
func (d *directory) clear() error {
	removed, err := trusted.RemoveSocket(filepath.Join(d.path, "bus"))
	if err != nil {
		return fmt.Errorf("%w: choose another directory with --bus-dir", err)
	}
	d.made = d.made || removed
	return d.removeRemains()
}

// removeRemains removes what a bridge has left that was killed. Then the directory was its own, and is ours
// to remove in the end.
func (d *directory) removeRemains() error {
	for _, name := range ourFiles {
		if _, err := os.Lstat(filepath.Join(d.path, name)); err == nil {
			d.made = true
		}
	}
	return d.removeFiles()
}

// writeConfig writes the configuration, for the daemon's user alone.
func (d *directory) writeConfig(text []byte) (path string, err error) {
	path = filepath.Join(d.path, "bus.conf")
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	_, err = f.Write(text)
	if d.door.uid != os.Geteuid() {
		err = errors.Join(err, f.Chown(d.door.uid, anyID))
	}
	return path, errors.Join(err, f.Close())
}

func (d *directory) removeFiles() error {
	var errs []error
	for _, name := range ourFiles {
		if err := os.Remove(filepath.Join(d.path, name)); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// close removes our files and leaves.
func (d *directory) close() error {
	return errors.Join(d.removeFiles(), d.leave())
}

// leave removes the directory if a bridge made it and nobody put anything there, and unlocks it.
func (d *directory) leave() error {
	if d.made {
		_ = os.Remove(d.path) // fails where it isn't empty, and shall
	}
	return d.lock.Close()
}
