package schema

import (
	"fmt"
	"strings"
)

// shape is the members that one object has: its type's own, then those of the
// branch that its tag selects, then those of that branch's branch. A member's
// rank is its place among all of them.
type shape struct {
	parts   [maxParts]*qtype
	count   int
	members int
}

// add adds the members of one type. [qtype.flatten] has seen that there is room.
func (s *shape) add(t *qtype) {
	s.parts[s.count] = t
	s.count++
	s.members += len(t.members)
}

// find returns the member of that name, or nil, and its rank.
func (s *shape) find(name []byte) (m *member, rank int) {
	for _, t := range s.parts[:s.count] {
		if i, found := t.find(name); found {
			return &t.members[i], rank + i
		}
		rank += len(t.members)
	}
	return nil, 0
}

// maxNames is how many members an error lists; blockdev-add has 60 in its largest branch.
const maxNames = 64

// names says for an error which members there are that can be in the dictionary, by what has been seen: not those that are an
// argument of their own, or follow from the object; and the method's options.
func (s *shape) names(seen []given, options []string) string {
	var names []string
	for _, t := range s.parts[:s.count] {
		for i, m := range t.members {
			if seen[i] != asOwn && seen[i] != asArgument {
				names = append(names, m.name)
			}
		}
		seen = seen[len(t.members):]
	}
	names = append(names, options...)
	switch more := len(names) - maxNames; {
	case len(names) == 0:
		return "are none"
	case len(names) == 1:
		return "is " + names[0]
	case more > 0:
		return fmt.Sprintf("are %s and %d more", strings.Join(names[:maxNames], ", "), more)
	}
	return "are " + strings.Join(names, ", ")
}

// isOpen reports whether the object takes members that it doesn't have.
func (s *shape) isOpen() bool { return s.parts[0].open }
