package bus

import (
	"fmt"
	"io/fs"
	"os"
	"slices"
	"syscall"
)

// Modes of Config.Dir.
const (
	privateMode = 0o700 // for root and ourselves
	groupMode   = 0o750 // a group may pass and look
	sharedMode  = 0o711 // others may pass, but not look
)

// DirMode is the mode of Dir: others than root and the bridge must pass only if
// they may connect.
func (c Config) DirMode() fs.FileMode {
	stranger := func(uid uint32) bool { return uid != 0 && uid != c.owner() }
	subjects := c.connectors()
	switch {
	case c.Group != nil:
		return groupMode
	case len(subjects.GIDs) > 0 || slices.ContainsFunc(subjects.UIDs, stranger):
		return sharedMode
	default:
		return privateMode
	}
}

// owner is whose Dir is: the daemon's, who makes the socket in it.
func (c Config) owner() uint32 {
	if c.User != nil {
		return *c.User
	}
	return c.Bridge
}

// access is what Dir is to be.
type access struct {
	mode fs.FileMode
	uid  int // the owner's
	gid  int // the group's, -1 for any
}

func (c Config) access() access {
	a := access{mode: c.DirMode(), uid: os.Geteuid(), gid: -1}
	if c.User != nil {
		a.uid = int(*c.User)
	}
	if c.Group != nil {
		a.gid = int(*c.Group)
	}
	return a
}

// check refuses a directory that is neither ours nor the owner's, or lets in more than it is to.
func (a access) check(info fs.FileInfo) error {
	uid, gid, perm := owner(info), group(info), info.Mode().Perm()
	switch {
	case uid != os.Geteuid() && uid != a.uid:
		return fmt.Errorf("belongs to uid %d, not to us (uid %d)", uid, os.Geteuid())
	case perm&^a.mode != 0:
		return fmt.Errorf("has mode %04o, more than the %04o that the granted subjects need: remove it", perm, a.mode)
	case a.gid >= 0 && gid != a.gid && perm&0o070 != 0:
		return fmt.Errorf("is open to gid %d, and not to gid %d: remove it", gid, a.gid)
	}
	return nil
}

// apply makes a directory that passed check what it is to be.
func (a access) apply(dir *os.File) error {
	if err := dir.Chown(a.uid, a.gid); err != nil {
		return fmt.Errorf("%w: give it to uid %d and gid %d as root, or choose what is yours", err, a.uid, a.gid)
	}
	return dir.Chmod(a.mode)
}

func owner(info fs.FileInfo) int { return int(info.Sys().(*syscall.Stat_t).Uid) }

func group(info fs.FileInfo) int { return int(info.Sys().(*syscall.Stat_t).Gid) }
