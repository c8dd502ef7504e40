package schema

import (
	"errors"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"

	"qmp-dbus-bridge/schema/wire"
)

// Limits of a schema. QEMU 11.1 has 325 kB, 1230 entries, at most 37 members in
// an object, 162 values in an enum.
const (
	maxSchema  = 4 << 20 // bytes
	maxEntries = 1 << 15
	maxLabel   = 512     // bytes of a name or value
	maxMembers = 1 << 10 // of one object with its branches, or values of an enum
	maxParts   = 4       // an object and branches in each other; QEMU 11.1 has 3
	maxArrays  = 8       // arrays in each other; QEMU 11.1 has 1
	maxPlanned = 1 << 16 // members of the arguments of all commands; QEMU 11.1 has some 700
)

// loader makes types of a schema's entries.
type loader struct {
	document *document
	frozen   map[string]frozen
	names    map[string]string // each name once: they repeat
	quoted   map[string]string // likewise, see quote
	types    map[string]*qtype
	entries  []entry // of types
	commands []*Command
	events   []event
	planned  int // members of the commands' arguments

	// What types are made of.
	typeSlab   slab[qtype]
	memberSlab slab[member]
	valueSlab  slab[string]
}

// entry is one type and its node in the document.
type entry struct {
	node int
	name string
	of   *qtype
}

func newLoader(d *document) *loader {
	return &loader{
		document: d,
		frozen:   parseFrozen(),
		names:    make(map[string]string),
		quoted:   make(map[string]string),
		types:    make(map[string]*qtype),
	}
}

// load reads all entries: first the types by name, then what they are made of,
// then what uses them.
func (l *loader) load() error {
	if l.document.kind(0) != jsontext.KindBeginArray {
		return errors.New("not an array")
	}
	users, err := l.listTypes()
	if err != nil {
		return err
	}
	for _, e := range l.entries {
		if err := l.define(e); err != nil {
			return fmt.Errorf("type '%s': %w", clip([]byte(e.name)), err)
		}
	}
	for _, e := range l.entries {
		if err := e.of.finish(); err != nil {
			return fmt.Errorf("type '%s': %w", clip([]byte(e.name)), err)
		}
	}
	return l.loadUsers(users)
}

// listTypes finds the types and returns the nodes of commands and events.
func (l *loader) listTypes() (users []int, err error) {
	entries := 0
	for node := range l.document.elements(0) {
		if entries++; entries > maxEntries {
			return nil, fmt.Errorf("more than %d entries: %w", maxEntries, wire.ErrLimit)
		}
		meta, err := l.text(node, "meta-type")
		if err != nil {
			return nil, err
		}
		if meta == "command" || meta == "event" {
			users = append(users, node)
			continue
		}
		name, err := l.text(node, "name")
		if err != nil {
			return nil, err
		}
		if l.types[name] != nil {
			return nil, fmt.Errorf("type '%s' is there twice", clip([]byte(name)))
		}
		e := entry{node, name, l.typeSlab.new()}
		e.of.tag = -1
		l.types[name] = e.of
		l.entries = append(l.entries, e)
	}
	return users, nil
}

func (l *loader) loadUsers(nodes []int) error {
	for _, node := range nodes {
		name, err := l.text(node, "name")
		if err != nil {
			return err
		}
		meta, err := l.text(node, "meta-type")
		if err == nil && meta == "command" {
			err = l.loadCommand(node, name)
		} else if err == nil {
			err = l.loadEvent(node, name)
		}
		if err != nil {
			return fmt.Errorf("%s '%s': %w", meta, clip([]byte(name)), err)
		}
	}
	return nil
}

func (l *loader) loadCommand(node int, name string) error {
	arguments, err := l.object(node, "arg-type")
	if err != nil {
		return err
	}
	result := &qtype{signature: signatures[kindAny]}
	if l.has(node, "ret-type") {
		if result, err = l.reference(node, "ret-type"); err != nil {
			return err
		}
	}
	if l.planned += len(arguments.members); l.planned > maxPlanned {
		return fmt.Errorf("more than %d arguments of all commands: %w", maxPlanned, wire.ErrLimit)
	}
	c := newCommand(name, arguments, result, l.frozen)
	c.oob = l.isTrue(node, "allow-oob")
	c.deprecated = l.hasFeature(node, "deprecated")
	c.unstable = l.hasFeature(node, "unstable")
	l.commands = append(l.commands, c)
	return nil
}

func (l *loader) loadEvent(node int, name string) error {
	data, err := l.object(node, "arg-type")
	if err != nil {
		return err
	}
	l.events = append(l.events, event{
		name:       name,
		member:     SignalName(name),
		data:       data,
		deprecated: l.hasFeature(node, "deprecated"),
		unstable:   l.hasFeature(node, "unstable"),
	})
	return nil
}
