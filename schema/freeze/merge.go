package main

import (
	"errors"
	"fmt"
	"slices"
)

// merge adds what the schemas have. The error lists all that contradicts the table.
func (t table) merge(captures []capture) error {
	t.addNew(captures)
	var breaks []error
	for _, c := range captures {
		for _, e := range c.commands() {
			l := t[e.Name]
			for _, b := range l.breaks(c, e) {
				breaks = append(breaks, fmt.Errorf("%s: %s: %s", c.file, e.Name, b))
			}
			l.options = l.options || c.hasMore(e, l)
			t[e.Name] = l
		}
	}
	return errors.Join(breaks...)
}

// addNew adds the commands that the table doesn't have, with the members that are
// mandatory in every schema, in the order of the first one.
func (t table) addNew(captures []capture) {
	added := make(map[string]bool)
	for _, c := range captures {
		for _, e := range c.commands() {
			mandatory := c.mandatory(e)
			switch l, known := t[e.Name]; {
			case !known:
				t[e.Name] = line{arguments: mandatory, result: c.result(e)}
				added[e.Name] = true
			case added[e.Name]:
				l.arguments = slices.DeleteFunc(l.arguments, func(a argument) bool {
					return !slices.ContainsFunc(mandatory, func(m argument) bool { return m.name == a.name })
				})
				t[e.Name] = l
			}
		}
	}
}

// breaks says how a schema's command contradicts the line.
func (l line) breaks(c capture, e entry) []string {
	var breaks []string
	members := c.types[e.ArgType].Members
	for _, a := range l.arguments {
		i := slices.IndexFunc(members, func(m member) bool { return m.Name == a.name })
		switch {
		case i < 0:
			breaks = append(breaks, fmt.Sprintf("argument %s is gone", a.name))
		case members[i].isOptional():
			breaks = append(breaks, fmt.Sprintf("argument %s is optional", a.name))
		case c.signature(members[i].Type) != a.signature:
			breaks = append(breaks, fmt.Sprintf("argument %s is of type %s, not %s", a.name, c.signature(members[i].Type), a.signature))
		}
	}
	if got := c.result(e); got != l.result {
		breaks = append(breaks, fmt.Sprintf("the result is of type '%s', not '%s'", got, l.result))
	}
	return breaks
}

// hasMore reports whether a command takes more than the arguments of its line.
func (c capture) hasMore(e entry, l line) bool {
	arguments := c.types[e.ArgType]
	return len(arguments.Members) > len(l.arguments) || arguments.Variants != nil || e.Name == "device_add"
}
