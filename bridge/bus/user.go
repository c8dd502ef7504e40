package bus

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"

	"qmp-dbus-bridge/bridge/account"
)

// credential is what dbus-daemon gets instead of ours: the uid of User, its primary
// group and no other. It is not left to dbus-daemon to become that user (as it would,
// from the same configuration): the kernel then forgets that it is to die with us.
func (c Config) credential() (*syscall.Credential, error) {
	if c.User == nil {
		return nil, nil
	}
	if os.Geteuid() != 0 {
		return nil, errors.New("only root can run the bus as another user: leave out --bus-user")
	}
	entry, err := user.LookupId(id(*c.User))
	if err != nil {
		return nil, fmt.Errorf("the bus's user: %w", err)
	}
	gid, err := strconv.ParseUint(entry.Gid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("the bus's user: %w", err)
	}
	return &syscall.Credential{Uid: *c.User, Gid: uint32(gid)}, nil
}

// reach refuses a directory that the daemon's user can't get at.
func (c Config) reach(dir *directory) error {
	if closed := dir.obstacle(); c.User != nil && *c.User != 0 && closed != "" {
		return fmt.Errorf("uid %d can't reach it: %s is closed to others", *c.User, closed)
	}
	return nil
}

// warn logs which granted subjects can't reach the bus. It goes by the user database;
// what counts are the groups that a process has.
func (c Config) warn(dir *directory) {
	if c.Logger == nil || c.dirMode() == privateMode {
		return
	}
	if closed := dir.obstacle(); closed != "" {
		c.Logger.Warn("granted subjects can't reach the bus", "directory", closed)
	}
	if c.Group == nil {
		return
	}
	for _, uid := range c.connectors().UIDs {
		if uid != 0 && uid != c.owner() && !inGroup(uid, *c.Group) {
			c.Logger.Warn("a granted user can't reach the bus: it is not in the group", "uid", uid, "gid", *c.Group)
		}
	}
}

func inGroup(uid, gid uint32) bool {
	member, _ := account.IsMember(uid, gid)
	return member
}
