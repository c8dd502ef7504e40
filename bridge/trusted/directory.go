package trusted

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// maxLinks bounds the symbolic links on a path, as the kernel does (MAXSYMLINKS).
const maxLinks = 40

// Writers says who besides the owner may be able to write a directory: a mask of mode bits that it may have.
type Writers fs.FileMode

const (
	NoGroup Writers = 0     // nobody
	Group   Writers = 0o020 // its group, which the owner has chosen
)

// Directory returns the path of a directory without symbolic links. The error says which part of it somebody else than
// root and owner, and the group where it may, can replace, and what to do; errors.Is tells fs.ErrNotExist.
func Directory(path string, owner uint32, may Writers) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	w := walk{owner: owner, forbidden: 0o022 &^ fs.FileMode(may), at: "/", left: parts(path)}
	if err := w.check(); err != nil {
		return "", err
	}
	for len(w.left) > 0 {
		if err := w.step(); err != nil {
			return "", err
		}
	}
	return w.at, nil
}

// walk is on its way along a path. All from the root to at is trusted.
type walk struct {
	owner     uint32
	forbidden fs.FileMode
	at        string
	left      []string
	links     int
}

func parts(path string) []string {
	return slices.DeleteFunc(strings.Split(path, "/"), func(part string) bool { return part == "" || part == "." })
}

// step goes to the next part, or puts in its place what it links to.
func (w *walk) step() error {
	next := filepath.Join(w.at, w.left[0]) // ".." leads to what was checked
	w.left = w.left[1:]
	info, err := os.Lstat(next)
	if err != nil {
		return err
	}
	if info.Mode()&fs.ModeSymlink == 0 {
		w.at = next
		return w.check()
	}
	if err := w.checkOwner(next, info); err != nil {
		return err
	}
	if w.links++; w.links > maxLinks {
		return fmt.Errorf("%s: more than %d symbolic links on the way", next, maxLinks)
	}
	target, err := os.Readlink(next)
	if err != nil {
		return err
	}
	if filepath.IsAbs(target) {
		w.at = "/"
	}
	w.left = append(parts(target), w.left...)
	return nil
}

// check looks at the directory that the walk has come to.
func (w *walk) check() error {
	info, err := os.Lstat(w.at)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a directory", w.at)
	}
	if err := w.checkOwner(w.at, info); err != nil {
		return err
	}
	if mode := info.Mode(); mode.Perm()&w.forbidden != 0 && mode&fs.ModeSticky == 0 {
		return fmt.Errorf("%s can be written by others (mode %04o), who could replace what is in it: chmod go-w, or choose another place",
			w.at, mode.Perm())
	}
	return nil
}

func (w *walk) checkOwner(path string, info fs.FileInfo) error {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return errors.New(path + ": the system does not tell its owner")
	}
	if stat.Uid != 0 && stat.Uid != w.owner {
		return fmt.Errorf("%s belongs to uid %d, neither to root nor to uid %d: chown it, or choose another place", path, stat.Uid, w.owner)
	}
	return nil
}
