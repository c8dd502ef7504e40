package turns

import "slices"

// List is those who wait. The zero value has nobody.
type List[K, V comparable] struct {
	groups []group[K, V] // in the order of their turns; none is empty
	spare  []V           // an empty slice, to save making it anew each time
}

type group[K, V comparable] struct {
	key     K
	members []V // in the order of their turns
}

// Empty reports whether nobody waits.
func (l *List[K, V]) Empty() bool { return len(l.groups) == 0 }

// Add has v wait behind the others of its group, and a group that was not there behind the others.
func (l *List[K, V]) Add(key K, v V) {
	for i := range l.groups {
		if g := &l.groups[i]; g.key == key {
			g.members = append(g.members, v)
			return
		}
	}
	l.groups = append(l.groups, group[K, V]{key, append(l.spare, v)})
	l.spare = nil
}

// Next takes off who has the next turn: the first that may have one, or the first of all if may is
// nil. Its group goes behind the others.
func (l *List[K, V]) Next(may func(V) bool) (v V, found bool) {
	for i, g := range l.groups {
		for j, member := range g.members {
			if may != nil && !may(member) {
				continue
			}
			l.groups = slices.Delete(l.groups, i, i+1)
			l.keep(group[K, V]{g.key, slices.Delete(g.members, j, j+1)})
			return member, true
		}
	}
	return v, false
}

// keep puts a group behind the others, if it has members.
func (l *List[K, V]) keep(g group[K, V]) {
	if len(g.members) > 0 {
		l.groups = append(l.groups, g)
	} else {
		l.spare = g.members
	}
}

// Find returns the first that is wanted.
func (l *List[K, V]) Find(wanted func(V) bool) (v V, found bool) {
	for _, g := range l.groups {
		if i := slices.IndexFunc(g.members, wanted); i >= 0 {
			return g.members[i], true
		}
	}
	return v, false
}

// Remove takes v off, if it waits; the others keep their turns.
func (l *List[K, V]) Remove(v V) {
	for i := range l.groups {
		g := &l.groups[i]
		if j := slices.Index(g.members, v); j >= 0 {
			g.members = slices.Delete(g.members, j, j+1)
			if len(g.members) == 0 {
				l.groups = slices.Delete(l.groups, i, i+1)
			}
			return
		}
	}
}
