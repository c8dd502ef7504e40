package account

import (
	"fmt"
	"os/user"
	"slices"
	"strconv"
)

// Ids that stand for nobody: the kernel shows the overflow id for whoever has no id in our user namespace
// (Linux's default for /proc/sys/kernel/overflowuid and overflowgid), and -1 is "none" in every system call.
const (
	overflowID = 65534
	noID       = 1<<32 - 1
)

// IsNobody tells whether a uid or gid stands for nobody.
func IsNobody(id uint32) bool { return id == overflowID || id == noID }

// ParseUser reads a user's name or uid. A uid need not be in the database, and must stand for somebody.
func ParseUser(text string) (uint32, error) { return parse(text, UserNamed) }

// ParseGroup reads a group's name or gid, as ParseUser does.
func ParseGroup(text string) (uint32, error) { return parse(text, GroupNamed) }

func parse(text string, named func(string) (uint32, error)) (uint32, error) {
	if _, err := strconv.ParseUint(text, 10, 64); err == nil {
		return ParseID(text)
	}
	return named(text)
}

// UserNamed looks a user up.
func UserNamed(name string) (uint32, error) {
	found, err := user.Lookup(name)
	if err != nil {
		return 0, err
	}
	return ParseID(found.Uid)
}

// GroupNamed looks a group up.
func GroupNamed(name string) (uint32, error) {
	found, err := user.LookupGroup(name)
	if err != nil {
		return 0, err
	}
	return ParseID(found.Gid)
}

// ParseID reads a uid or gid, which must stand for somebody.
func ParseID(text string) (uint32, error) {
	id, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number from 0 to 4294967294", text)
	}
	if IsNobody(uint32(id)) {
		return 0, fmt.Errorf("id %d stands for nobody", id)
	}
	return uint32(id), nil
}

// IsKnown tells whether the database has a user, or a group, with that id.
func IsKnown(group bool, id uint32) bool {
	number, err := strconv.FormatUint(uint64(id), 10), error(nil)
	if group {
		_, err = user.LookupGroupId(number)
	} else {
		_, err = user.LookupId(number)
	}
	return err == nil
}

// IsMember tells whether a user is in a group by the database; known is false for one that is not in it.
func IsMember(uid, gid uint32) (member, known bool) {
	found, err := user.LookupId(strconv.FormatUint(uint64(uid), 10))
	if err != nil {
		return false, false
	}
	groups, err := found.GroupIds()
	if err != nil {
		return false, false
	}
	return slices.Contains(groups, strconv.FormatUint(uint64(gid), 10)), true
}
