package action

import (
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxName bounds the names of commands and events; QMP's longest has 40 bytes.
const maxName = 255 // bytes

const (
	readProperties = "read-properties"
	introspect     = "introspect"
	subscribe      = "subscribe"

	commandPrefix = "command:" // only in the names of commands that would be mistaken otherwise
)

// What stands before names in policies.
const (
	EventPrefix = "event:"
	ClassPrefix = "class:" // before the name of a class, which is no action but has some in it
)

// Action is what a caller wants to do. It is made by the functions below alone; the zero Action
// is allowed to nobody. Actions are compared with ==.
type Action struct {
	name  string // the id in Cedar; no two kinds of action share one
	class Class
	valid bool
}

// Command is the execution of a QMP command, by its name as the caller gave it. Names are
// arbitrary: one that is not in the table has class host, and one that is longer than 255 bytes
// or has a colon in it, which sets the other kinds of action apart, is allowed to nobody. A command
// called like one of the other actions below is a command of class host all the same.
func Command(name string) Action {
	if class, ok := commandClasses[name]; ok {
		return Action{name: name, class: class, valid: true}
	}
	switch {
	case len(name) > maxName, strings.Contains(name, ":"):
		return Action{name: commandPrefix + clip(name), class: ClassHost}
	case name == readProperties, name == introspect, name == subscribe:
		return Action{name: commandPrefix + name, class: ClassHost, valid: true}
	}
	return Action{name: name, class: ClassHost, valid: true}
}

// Event is the delivery of a QMP event to the caller. One with a name longer than 255 bytes is
// delivered to nobody.
func Event(name string) Action {
	return Action{name: EventPrefix + clip(name), class: EventClass(name), valid: len(name) <= maxName}
}

// ReadProperties is reading properties, which come from the bridge's own state.
func ReadProperties() Action { return Action{name: readProperties, class: ClassRead, valid: true} }

// Introspect is asking what there is: Introspectable, Peer, CanExecute, ListCommands.
func Introspect() Action { return Action{name: introspect, class: ClassRead, valid: true} }

// Subscribe is asking for events; whether each may be received is decided by Event.
func Subscribe() Action { return Action{name: subscribe, class: ClassRead, valid: true} }

// Valid is false for what nobody may do, whatever policies say: what no policy can name.
func (a Action) Valid() bool { return a.valid }

// Class is the action's risk class.
func (a Action) Class() Class { return a.class }

// String is the action's name in policies and in the audit: "stop", "read-properties",
// "event:STOP". It is the caller's own text for commands: escape it before showing it.
func (a Action) String() string { return a.name }

// Listed are the actions that are known: the commands and events of the tables, sorted, and those that are neither.
func Listed() []Action {
	var all []Action
	for _, name := range Commands() {
		all = append(all, Command(name))
	}
	for _, name := range slices.Sorted(maps.Keys(eventClasses)) {
		all = append(all, Event(name))
	}
	return append(all, ReadProperties(), Introspect(), Subscribe())
}

// clip shortens a name for the audit, without keeping the long one in memory.
func clip(name string) string {
	if len(name) <= maxName {
		return name
	}
	end := maxName
	for end > maxName-utf8.UTFMax && !utf8.RuneStart(name[end]) {
		end--
	}
	return strings.Clone(name[:end])
}
