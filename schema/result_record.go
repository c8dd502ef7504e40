package schema

import (
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// record writes the object at i as a dictionary: the members that t has in the
// order of the schema, then the others, sorted.
func (r *result) record(t *qtype, i int) {
	d := r.document
	s := r.shapeOf(t, i)
	mark := d.arrange(&s, i)
	r.encoder.OpenArray("{sv}")
	at := mark
	for _, part := range s.parts[:s.count] {
		for m := range part.members {
			if name := d.order[at]; name != 0 {
				r.entry(part.members[m].of, name)
			}
			at++
		}
	}
	for _, name := range d.sortNames(d.order[at:]) {
		if !t.open {
			r.stranger(i)
		}
		r.entry(nil, name)
	}
	r.encoder.CloseArray()
	d.unsort(mark)
}

// entry writes one member; without a type it is typed by what it is.
func (r *result) entry(t *qtype, name int) {
	if r.encoder.Err() != nil {
		return
	}
	r.encoder.OpenDictEntry()
	r.encoder.StringBytes(r.document.bytes(name))
	if t == nil {
		r.variant(name + 1)
	} else {
		r.typedVariant(t, name+1)
	}
	r.encoder.CloseDictEntry()
}

// shapeOf returns the members of the object of type t at i.
func (r *result) shapeOf(t *qtype, i int) (s shape) {
	for s.add(t); t.branches != nil; s.add(t) {
		tag, found := r.document.member(i, t.members[t.tag].name)
		if !found || r.document.kind(tag) != jsontext.KindString {
			break
		}
		if t = t.branches[string(r.document.bytes(tag))]; t == nil {
			break
		}
	}
	return s
}

// arrange puts the names of the object at i in order: at a member's rank the name
// of that member, or 0 if it is not there, and after them the names that no
// member has. It is followed by unsort(mark), as sorted is.
func (d *document) arrange(s *shape, i int) (mark int) {
	mark = len(d.order)
	d.order = slices.Grow(d.order, s.members)[:mark+s.members]
	clear(d.order[mark:])
	for name := range d.names(i) {
		if m, rank := s.find(d.bytes(name)); m != nil {
			d.order[mark+rank] = name // of members with one name the last
		} else {
			d.order = append(d.order, name)
		}
	}
	return mark
}
