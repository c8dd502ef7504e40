package schema

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Catalogue is the list of the commands and events of one QEMU. It does not
// change after ParseCatalogue and may be shared. The zero value has none.
type Catalogue struct {
	commands []string // sorted
	events   []event  // sorted by name
}

type event struct {
	name                 string
	member               string // "" if its member name can't be had
	deprecated, unstable bool
}

// reserved are the members of the bridge's own, which no command or event gets.
var reserved = []string{"AddFd", "Call", "CallJson", "Getfd", "Lost", "Other"}

// ParseCatalogue reads what query-qmp-schema returned. Entries that are neither
// commands nor events are skipped, unknown members too. json is not kept.
func ParseCatalogue(json []byte) (*Catalogue, error) {
	d, err := parseDocument(json)
	if err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	defer d.release()
	if d.kind(0) != jsontext.KindBeginArray {
		return nil, errors.New("schema: not an array")
	}
	c := new(Catalogue)
	for entry := range d.elements(0) {
		if err := c.add(d, entry); err != nil {
			return nil, err
		}
	}
	c.sort()
	return c, nil
}

// Commands returns the names of all commands, sorted. The caller may keep it.
func (c *Catalogue) Commands() []string { return slices.Clone(c.commands) }

// Events returns the names of all events, sorted. The caller may keep it.
func (c *Catalogue) Events() []string {
	names := make([]string, len(c.events))
	for i, e := range c.events {
		names[i] = e.name
	}
	return names
}

// HasCommand reports whether QEMU has the command.
func (c *Catalogue) HasCommand(name string) bool {
	_, found := slices.BinarySearch(c.commands, name)
	return found
}

// HasEvent reports whether QEMU has the event.
func (c *Catalogue) HasEvent(name string) bool {
	_, found := c.findEvent(name)
	return found
}

// EventSignal returns the member of an event's signal. Without one the event is
// sent as the signal Other: QEMU doesn't list it, or the bridge or another event
// has its member, or D-Bus can't have it.
func (c *Catalogue) EventSignal(name string) (member string, found bool) {
	i, listed := c.findEvent(name)
	if !listed {
		return "", false
	}
	member = c.events[i].member
	return member, member != ""
}

func (c *Catalogue) findEvent(name string) (int, bool) {
	return slices.BinarySearchFunc(c.events, name, func(e event, name string) int {
		return strings.Compare(e.name, name)
	})
}

// add reads one entry of the schema.
func (c *Catalogue) add(d *document, entry int) error {
	meta, err := d.stringMember(entry, "meta-type")
	if err != nil {
		return err
	}
	if meta != "command" && meta != "event" {
		return nil
	}
	name, err := d.stringMember(entry, "name")
	if err != nil {
		return err
	}
	if meta == "command" {
		c.commands = append(c.commands, name)
		return nil
	}
	c.events = append(c.events, event{
		name:       name,
		member:     SignalName(name),
		deprecated: d.hasFeature(entry, "deprecated"),
		unstable:   d.hasFeature(entry, "unstable"),
	})
	return nil
}

// stringMember returns a member that every entry of a schema has.
func (d *document) stringMember(entry int, name string) (string, error) {
	if d.kind(entry) != jsontext.KindBeginObject {
		return "", errors.New("schema: an entry is not an object")
	}
	value, found := d.member(entry, name)
	if !found || d.kind(value) != jsontext.KindString {
		return "", fmt.Errorf("schema: an entry has no %s", name)
	}
	return string(d.bytes(value)), nil
}

// hasFeature reports whether an entry lists the feature.
func (d *document) hasFeature(entry int, feature string) bool {
	features, found := d.member(entry, "features")
	if !found || d.kind(features) != jsontext.KindBeginArray {
		return false
	}
	for f := range d.elements(features) {
		if d.kind(f) == jsontext.KindString && string(d.bytes(f)) == feature {
			return true
		}
	}
	return false
}

// sort puts the lists in order and takes the member from all but the first of
// the events that share one.
func (c *Catalogue) sort() {
	slices.Sort(c.commands)
	c.commands = slices.Compact(c.commands)
	slices.SortFunc(c.events, func(a, b event) int { return strings.Compare(a.name, b.name) })
	c.events = slices.CompactFunc(c.events, func(a, b event) bool { return a.name == b.name })
	taken := make(map[string]bool, len(c.events))
	for _, member := range reserved {
		taken[member] = true
	}
	for i := range c.events {
		e := &c.events[i]
		if taken[e.member] {
			e.member = ""
		}
		taken[e.member] = true
	}
}
