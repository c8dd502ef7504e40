package schema

import (
	"strings"

	"qmp-dbus-bridge/schema/wire"
)

// form is how a call gives its arguments: some in front, one each, and perhaps
// the others in a dictionary.
type form struct {
	front []positional
	dict  bool
}

// formOf returns the form of a call with that signature.
func (c *Command) formOf(signature string) (form, error) {
	count, dict := countTypes(signature)
	isOnlyDict := len(c.positional) == 1 && c.positional[0].signature == "a{sv}" && !c.options
	switch {
	case count == 1 && dict && !isOnlyDict:
		return form{nil, true}, nil
	case count == len(c.positional)+1 && dict:
		return form{c.positional, true}, nil
	case count == len(c.positional):
		return form{c.positional, false}, nil
	case c.legacy != nil && (count == 1 || count == 2 && dict):
		return form{c.legacy, count == 2}, nil
	}
	return form{}, &ArgumentError{c.name, c.describe().Expected(signature)}
}

// countTypes counts the complete types in a signature, and says whether the last
// of them is a dictionary by name.
func countTypes(signature string) (count int, dict bool) {
	for signature != "" {
		var first string
		first, signature = wire.SplitSignature(signature)
		dict = strings.HasPrefix(first, "a{s")
		count++
	}
	return count, dict
}

// call writes the arguments of a call, and own.
func (a *arguments) call(c *Command, f form, own []Own) {
	s := a.shapeOf(c.arguments, f.front)
	if a.failed() {
		return
	}
	base := a.openRecord(&s)
	a.own = own
	a.ownMembers(&s, base, own)
	for _, p := range f.front {
		a.member(&c.arguments.members[p.member], &a.seen[base+p.member], asArgument)
		if a.failed() {
			a.place.inMember([]byte(p.name))
			return
		}
	}
	if f.dict {
		a.entries(&s, base)
	}
	if !a.failed() {
		a.defaults(&s, base, own)
		a.closeRecord(&s, base)
	}
}
