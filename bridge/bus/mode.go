package bus

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
)

// Modes of Config.Dir.
const (
	privateMode = 0o700 // for root and the owner
	groupMode   = 0o750 // a group may pass and look
	sharedMode  = 0o711 // others may pass, but not look

	othersWrite = 0o022
)

// dirMode is the mode of Dir: others than root and its owner must pass only if
// they may connect.
func (c Config) dirMode() fs.FileMode {
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
	return uint32(os.Geteuid())
}

// door is what Dir is to be.
type door struct {
	mode fs.FileMode
	uid  int // the owner's
	gid  int // the group's, anyID for any
}

// anyID leaves an owner or a group as it is, to chown(2) too.
const anyID = -1

func (c Config) door() door {
	d := door{mode: c.dirMode(), uid: int(c.owner()), gid: anyID}
	if c.Group != nil {
		d.gid = int(*c.Group)
	}
	return d
}

// checkOwner refuses a directory that is neither ours nor the owner's.
func (d door) checkOwner(info fs.FileInfo) error {
	if uid := owner(info); uid != os.Geteuid() && uid != d.uid {
		return fmt.Errorf("belongs to uid %d, not to us (uid %d)", uid, os.Geteuid())
	}
	return nil
}

// opensToMore tells whether a directory lets in others than it is to.
func (d door) opensToMore(info fs.FileInfo) bool {
	perm := info.Mode().Perm()
	return perm&^d.mode != 0 || d.gid != anyID && group(info) != d.gid && perm&0o070 != 0
}

// apply makes a directory what it is to be. It changes no owner that is right: where chown(2) is
// forbidden, as under the systemd unit, that must do.
func (d door) apply(dir *os.File, info fs.FileInfo) error {
	uid, gid := anyID, anyID
	var want []string
	if owner(info) != d.uid {
		uid = d.uid
		want = append(want, fmt.Sprintf("uid %d", uid))
	}
	if d.gid != anyID && group(info) != d.gid {
		gid = d.gid
		want = append(want, fmt.Sprintf("gid %d", gid))
	}
	if len(want) > 0 {
		if err := dir.Chown(uid, gid); err != nil {
			return fmt.Errorf("%w: give it to %s as root, or choose what is yours", err, strings.Join(want, " and "))
		}
	}
	if info.Mode().Perm() == d.mode {
		return nil
	}
	return dir.Chmod(d.mode)
}

// checkLeftover refuses what opens to more than it is to, unless a bridge that was killed, or had other
// grants, can have left it so: then nobody else can have put anything there, and nothing but the bus's is there.
func (d *directory) checkLeftover(info fs.FileInfo) error {
	if !d.door.opensToMore(info) {
		return nil
	}
	perm := info.Mode().Perm()
	if perm&othersWrite != 0 {
		return fmt.Errorf("can be written by others (mode %04o): remove it, or choose another with --bus-dir", perm)
	}
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !slices.Contains(ourFiles, e.Name()) {
			return errors.New(d.tooOpen(info) + ", and is not the bus's alone: choose another with --bus-dir")
		}
	}
	return nil
}

// tooOpen says to whom else a directory is open.
func (d *directory) tooOpen(info fs.FileInfo) string {
	if perm := info.Mode().Perm(); perm&^d.door.mode != 0 {
		return fmt.Sprintf("has mode %04o, more than the %04o that the granted subjects need", perm, d.door.mode)
	}
	return fmt.Sprintf("is open to gid %d, and not to gid %d", group(info), d.door.gid)
}

func owner(info fs.FileInfo) int { return int(info.Sys().(*syscall.Stat_t).Uid) }

func group(info fs.FileInfo) int { return int(info.Sys().(*syscall.Stat_t).Gid) }
