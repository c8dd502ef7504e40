package schema

import "slices"

// given says where a member has been seen.
type given byte

const (
	absent given = iota
	asOwn
	asArgument
	asEntry
)

// record writes a dictionary as an object of type t.
func (a *arguments) record(t *qtype) {
	if !a.atDict() {
		a.mismatch(t)
		return
	}
	if got := a.decoder.Type(); got[2] != 's' {
		a.fail("expected strings as keys, got D-Bus type '%s'", got)
		return
	}
	s := a.shapeOf(t, nil)
	if a.failed() {
		return
	}
	base := a.openRecord(&s)
	a.entries(&s, base)
	a.closeRecord(&s, base)
}

// openRecord begins an object; its members' marks are in seen from base on.
func (a *arguments) openRecord(s *shape) (base int) {
	base = len(a.seen)
	a.seen = slices.Grow(a.seen, s.members)[:base+s.members]
	clear(a.seen[base:])
	a.json = append(a.json, '{')
	a.count(1)
	return base
}

// closeRecord ends an object, which must have all that is mandatory.
func (a *arguments) closeRecord(s *shape, base int) {
	seen := a.seen[base:]
	for _, t := range s.parts[:s.count] {
		for i := range t.members {
			if m := &t.members[i]; !m.optional && seen[i] == absent && !a.failed() {
				a.failAt(m.name, "missing")
			}
		}
		seen = seen[len(t.members):]
	}
	a.json = append(a.json, '}')
	a.seen = a.seen[:base]
}

// entries writes the members that a dictionary has.
func (a *arguments) entries(s *shape, base int) {
	a.decoder.Enter()
	start := len(a.keys)
	for a.decoder.More() {
		a.decoder.Enter()
		key := a.decoder.Bytes()
		a.entry(s, base, key)
		a.decoder.Exit()
		if a.failed() {
			a.place.inMember(key)
			return
		}
	}
	a.unique(a.keys[start:])
	a.keys = a.keys[:start]
	a.decoder.Exit()
}

// entry writes one of them, the decoder being at its value.
func (a *arguments) entry(s *shape, base int, key []byte) {
	m, rank := s.find(key)
	switch {
	case m != nil:
		a.member(m, &a.seen[base+rank], asEntry)
	case a.option(base, key):
	case s.isOpen():
		a.keys = append(a.keys, key)
		a.comma()
		a.quote(key)
		a.json = append(a.json, ':')
		a.count(2)
		a.value()
	default:
		a.fail("unknown member; there %s", s.names(a.seen[base:], a.options(base)))
	}
}

// member writes a member, unless it has been seen.
func (a *arguments) member(m *member, seen *given, now given) {
	switch *seen {
	case asOwn:
		a.fail("not for the caller to give: it follows from the object")
	case asArgument:
		a.fail("given as an argument and in the dictionary")
	case asEntry:
		a.fail("given twice")
	}
	*seen = now
	a.comma()
	a.json = append(a.json, m.quoted...)
	a.count(2)
	a.typed(m.of)
}

// comma separates a member from the one before.
func (a *arguments) comma() {
	if a.json[len(a.json)-1] != '{' {
		a.json = append(a.json, ',')
	}
}

// failAt notes that a member of the object at the decoder is wrong.
func (a *arguments) failAt(member, text string) {
	a.fail("%s", text)
	a.place.inMember([]byte(member))
}

// shapeOf returns the members of the object of type t at the decoder, which is a
// dictionary, after the arguments in front, or only those.
func (a *arguments) shapeOf(t *qtype, front []positional) (s shape) {
	for s.add(t); t.branches != nil; s.add(t) {
		if t = a.branch(t, front); t == nil {
			break
		}
	}
	return s
}

// branch returns the branch that the value of the tag selects; nil if there is
// none, or no right tag, which is noted.
func (a *arguments) branch(t *qtype, front []positional) *qtype {
	tag := &t.members[t.tag]
	a.scout = *a.decoder
	if !a.scoutMember(tag.name, front) {
		a.failAt(tag.name, "missing")
		return nil
	}
	for a.scout.Kind() == 'v' {
		a.scout.Enter()
	}
	if scalarKind(a.scout.Kind()) == kindString {
		if b := t.branches[string(a.scout.Bytes())]; b != nil {
			return b
		}
	}
	a.tryMember(tag, front)
	return nil
}

// scoutMember moves the scout to the value of a member.
func (a *arguments) scoutMember(name string, front []positional) bool {
	d := &a.scout
	for _, p := range front {
		if p.name == name {
			return true
		}
		d.Skip()
	}
	if d.Kind() != 'a' || d.Type()[1:3] != "{s" {
		return false
	}
	for d.Enter(); d.More(); d.Exit() {
		d.Enter()
		if string(d.Bytes()) == name {
			return true
		}
	}
	return false
}

// tryMember notes what is wrong with a member.
func (a *arguments) tryMember(m *member, front []positional) {
	decoder, size, tokens := a.decoder, len(a.json), a.tokens
	a.scout = *a.decoder
	a.scoutMember(m.name, front)
	a.tried = a.scout
	a.decoder = &a.tried
	a.typed(m.of)
	if a.failed() {
		a.place.inMember([]byte(m.name))
	}
	a.decoder, a.json, a.tokens = decoder, a.json[:size], tokens
}
