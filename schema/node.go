package schema

import (
	"bytes"
	"iter"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// node is one value, or one name in an object: a member is two nodes, the name
// and the value.
type node struct {
	kind       jsontext.Kind // null, true, false, string, number, begin of object or array
	spilled    bool          // start and end are in spill, not in text
	start, end uint32        // a string's content, a number's lexeme
	next       uint32        // the first node that is not inside this one
}

// kind returns the kind of the value at i.
func (d *document) kind(i int) jsontext.Kind { return d.nodes[i].kind }

// bytes returns a string's content or a number's lexeme.
func (d *document) bytes(i int) []byte {
	n := &d.nodes[i]
	if n.spilled {
		return d.spill[n.start:n.end]
	}
	return d.text[n.start:n.end]
}

// elements yields the values of the array at i.
func (d *document) elements(i int) iter.Seq[int] {
	return func(yield func(int) bool) {
		end := int(d.nodes[i].next)
		for e := i + 1; e < end; e = int(d.nodes[e].next) {
			if !yield(e) {
				return
			}
		}
	}
}

// names yields the names in the object at i; a member's value is at its name+1.
func (d *document) names(i int) iter.Seq[int] {
	return func(yield func(int) bool) {
		end := int(d.nodes[i].next)
		for name := i + 1; name < end; name = int(d.nodes[name+1].next) {
			if !yield(name) {
				return
			}
		}
	}
}

// member returns the value of an object's member.
func (d *document) member(i int, name string) (value int, found bool) {
	for n := range d.names(i) {
		if string(d.bytes(n)) == name {
			value, found = n+1, true
		}
	}
	return value, found
}

// sorted returns the names in the object at i in bytewise order. Of members
// with one name only the last is there: D-Bus forbids repeated keys, and two
// names may have become one on the way. Every call is followed by unsort, the
// last one first, when its result is no longer used.
func (d *document) sorted(i int) (names []int, mark int) {
	mark = len(d.order)
	for name := range d.names(i) {
		d.order = append(d.order, name)
	}
	return d.sortNames(d.order[mark:]), mark
}

// sortNames sorts names as sorted does, in place.
func (d *document) sortNames(names []int) []int {
	slices.SortFunc(names, func(a, b int) int {
		if c := bytes.Compare(d.bytes(a), d.bytes(b)); c != 0 {
			return c
		}
		return b - a
	})
	return slices.CompactFunc(names, func(a, b int) bool {
		return bytes.Equal(d.bytes(a), d.bytes(b))
	})
}

func (d *document) unsort(mark int) { d.order = d.order[:mark] }
