package schema

import (
	"fmt"
	"slices"
	"strings"

	"qmp-dbus-bridge/schema/wire"
)

// Table is what one QEMU has: its commands with a plan for each, and its events.
// It does not change after ParseTable and may be shared. The zero value has
// neither.
type Table struct {
	commands []*Command // sorted by name
	members  map[string]*Command
	events   []event // sorted by name
}

// reserved are the members of the bridge's own, which no command or event gets.
var reserved = []string{"AddFd", "Call", "CallJson", "Getfd", "Lost", "Other"}

// expectedUntyped are the commands of every QEMU that have no member: the handshake, which is
// not the callers', and those that need a file descriptor.
var expectedUntyped = []string{"add-fd", "getfd", "qmp_capabilities"}

// ParseTable reads what query-qmp-schema returned; json is not kept. Members of
// entries that it doesn't know are skipped, and types that it doesn't know hold
// any value: a newer QEMU is no reason to fail. A schema that contradicts itself
// is an error, one past the limits of this package wraps wire.ErrLimit.
func ParseTable(json []byte) (*Table, error) {
	t, err := parseTable(json)
	if err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	return t, nil
}

func parseTable(json []byte) (*Table, error) {
	if len(json) > maxSchema {
		return nil, fmt.Errorf("%d bytes: %w", len(json), wire.ErrLimit)
	}
	d, err := parseDocument(json)
	if err != nil {
		return nil, err
	}
	defer d.release()
	l := newLoader(d)
	if err := l.load(); err != nil {
		return nil, err
	}
	t := &Table{commands: l.commands, events: l.events}
	t.nameCommands()
	t.nameEvents()
	return t, nil
}

// Commands returns the names of all commands, sorted. The caller may keep it.
func (t *Table) Commands() []string {
	names := make([]string, len(t.commands))
	for i, c := range t.commands {
		names[i] = c.name
	}
	return names
}

// HasCommand reports whether QEMU has the command.
func (t *Table) HasCommand(name string) bool { return t.Command(name) != nil }

// Command returns the plan of a command, or nil if QEMU has no such command.
func (t *Table) Command(name string) *Command {
	i, found := slices.BinarySearchFunc(t.commands, name, func(c *Command, name string) int {
		return strings.Compare(c.name, name)
	})
	if !found {
		return nil
	}
	return t.commands[i]
}

// Method returns the plan of the command whose D-Bus member this is, or nil.
func (t *Table) Method(member string) *Command { return t.members[member] }

// Untyped returns the commands and events that should have a member and have none, because
// the bridge or another of them has it or D-Bus can't have it: commands first, each kind sorted.
// No QEMU that is known has any. The caller may keep it.
func (t *Table) Untyped() (names []string) {
	for _, c := range t.commands {
		if c.member == "" && !slices.Contains(expectedUntyped, c.name) {
			names = append(names, c.name)
		}
	}
	for _, e := range t.events {
		if e.member == "" {
			names = append(names, e.name)
		}
	}
	return names
}

// Methods describes the commands that have a D-Bus member, sorted by command.
func (t *Table) Methods() []Method {
	methods := make([]Method, 0, len(t.members))
	for _, c := range t.commands {
		if c.member != "" {
			methods = append(methods, c.describe())
		}
	}
	return methods
}

// nameCommands sorts the commands and gives members to those that can have one.
// Of commands that share one the first has it.
func (t *Table) nameCommands() {
	slices.SortStableFunc(t.commands, func(a, b *Command) int { return strings.Compare(a.name, b.name) })
	t.commands = slices.CompactFunc(t.commands, func(a, b *Command) bool { return a.name == b.name })
	t.members = make(map[string]*Command, len(t.commands))
	for _, c := range t.commands {
		member := MethodName(c.name)
		if member == "" || c.name == "qmp_capabilities" || len(c.in) > wire.MaxSignature ||
			slices.Contains(reserved, member) || t.members[member] != nil {
			continue
		}
		c.member = member
		t.members[member] = c
	}
}
