package policytext

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/cedar-policy/cedar-go/types"

	"qmp-dbus-bridge/bridge/account"
	"qmp-dbus-bridge/bridge/action"
	"qmp-dbus-bridge/bridge/spelling"
)

// shape says what of a value a policy may ask for.
type shape struct {
	kind    kind
	called  string           // where kind does not say it well
	element kind             // of each element of a set
	members map[string]shape // of a record or an entity
	open    bool             // it has any members: they come from the caller
}

// String is what it is called.
func (s shape) String() string { return cmp.Or(s.called, string(s.kind)) }

var someStrings = shape{kind: aSet, element: aString}

// variables are the words of a policy's conditions. actions and VMs have no attributes.
var variables = map[string]shape{
	"principal": {kind: anEntity, called: "a Caller", members: map[string]shape{
		"uid": {kind: aNumber}, "label": {kind: aString}, "busNames": someStrings,
		"selinux": {kind: aRecord, members: map[string]shape{
			"user": {kind: aString}, "role": {kind: aString}, "type": {kind: aString}, "sensitivity": {kind: aString}, "categories": someStrings,
		}},
	}},
	"context": {kind: aRecord, called: "the context", members: map[string]shape{
		"arguments": {kind: aRecord, open: true}, "argumentNames": someStrings, "label": {kind: aString},
	}},
	"action":   {kind: anEntity, called: "an Action"},
	"resource": {kind: anEntity, called: "a VM"},
}

// entityTypes are the types that something can have.
var entityTypes = []string{"Action", "Caller", "Group", "Role", "User", "VM"}

// knownActions are what may stand in Action::"...": all commands and events of the tables, the classes, and what is
// neither.
var knownActions = actionIDs()

func actionIDs() map[string]bool {
	ids := make(map[string]bool)
	for _, one := range action.Listed() {
		ids[one.String()] = true
	}
	for _, class := range action.Classes() {
		ids[class.ID()] = true
	}
	return ids
}

// wrongEntity says what is wrong with an entity, if anything is.
func wrongEntity(uid types.EntityUID) string {
	id := string(uid.ID)
	switch uid.Type {
	case "Action":
		if !knownActions[id] {
			return wrongAction(id)
		}
	case "Role":
		if !slices.Contains(roles, Role(id)) {
			return unknown("role", id, words(roles))
		}
	case "User", "Group":
		if n, err := account.ParseID(id); err != nil || strconv.FormatUint(uint64(n), 10) != id {
			return wrongAccount(uid)
		}
	case "Caller":
		if len(id) < 2 || id[0] != ':' {
			return fmt.Sprintf("%v: callers are named by their unique names, like :1.5; users are User::\"1000\"", uid)
		}
	case "VM":
	default:
		return fmt.Sprintf("unknown entity type %s%s", uid.Type, suggest(string(uid.Type), entityTypes))
	}
	return ""
}

// wrongAccount says which number a user or group has, if it is a name that the system knows.
func wrongAccount(uid types.EntityUID) string {
	find := account.UserNamed
	if uid.Type == "Group" {
		find = account.GroupNamed
	}
	number, err := find(string(uid.ID))
	if err != nil {
		return fmt.Sprintf("%v: want the number of a user or group that can stand for somebody", uid)
	}
	return fmt.Sprintf("%v: users and groups are numbers: write %v (%s)", uid, types.NewEntityUID(uid.Type, types.String(strconv.FormatUint(uint64(number), 10))), uid.ID)
}

// wrongAction says why an action can't be meant.
func wrongAction(id string) string {
	what := "command"
	for _, prefix := range []string{action.ClassPrefix, action.EventPrefix} {
		if strings.HasPrefix(id, prefix) {
			what = strings.TrimSuffix(prefix, ":")
		}
		if knownActions[prefix+id] {
			return fmt.Sprintf("unknown command %q: did you mean %q?", id, prefix+id)
		}
	}
	if command := action.Meant(id, action.Commands()); command != "" {
		return fmt.Sprintf("unknown command %q: did you mean %q?", id, command)
	}
	say := unknown(what, id, slices.Collect(maps.Keys(knownActions)))
	if what == "command" && !strings.HasSuffix(say, "?") {
		say += ": commands that the bridge has no class for can't be named; they are in class:host"
	}
	return say
}

// words makes strings of a list.
func words[S ~string](list []S) []string {
	texts := make([]string, len(list))
	for i, one := range list {
		texts[i] = string(one)
	}
	return texts
}

func unknown(what, word string, known []string) string {
	return fmt.Sprintf("unknown %s %q%s", what, word, suggest(word, known))
}

// suggest says which of the known words was meant, if one is close.
func suggest(word string, known []string) string {
	best := spelling.Nearest(word, known)
	if best == "" {
		return ""
	}
	return `: did you mean "` + best + `"?`
}

// find is the shape of a member; what is in an open one is open.
func (s shape) find(names []string) (shape, bool) {
	for _, name := range names {
		if s.open {
			return shape{open: true}, true
		}
		next, ok := s.members[name]
		if !ok {
			return shape{}, false
		}
		s = next
	}
	return s, true
}
