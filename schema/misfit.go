package schema

import (
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Misfits are the values of a reply or an event which are not what the schema
// says. The zero value has none.
type Misfits struct {
	Count int
	First string // the first one and what is wrong: query-block[0].size: expected int, got string
}

// misfit notes that the value at i is not of type t.
func (r *result) misfit(t *qtype, i int) {
	if r.misfits.Count == 0 {
		r.misfits.First = r.document.path(r.root, i) + ": expected " + t.words() + ", got " + r.document.words(i)
	}
	r.misfits.Count++
}

// misfitWithin notes the first value that keeps the one at i from having the
// signature of t.
func (r *result) misfitWithin(t *qtype, i int) {
	for t.kind == kindArray && r.document.kind(i) == jsontext.KindBeginArray {
		for e := range r.document.elements(i) {
			if !r.fits(t.element, e) {
				i = e
				break
			}
		}
		t = t.element
	}
	r.misfit(t, i)
}

// stranger notes that the object at i has a member that the schema doesn't have. Its name stays out: QEMU can
// have taken it from anybody, and First is for logs.
func (r *result) stranger(i int) {
	if r.misfits.Count == 0 {
		r.misfits.First = r.document.path(r.root, i) + ": unknown member"
	}
	r.misfits.Count++
}

// words returns what errors call the value at i.
func (d *document) words(i int) string {
	switch d.kind(i) {
	case jsontext.KindString:
		return kindWords[kindString]
	case jsontext.KindNumber:
		if parseNumber(d.bytes(i)).Type == 'd' {
			return kindWords[kindNumber] // also of more than 64 bits
		}
		return kindWords[kindInt]
	case jsontext.KindTrue, jsontext.KindFalse:
		return kindWords[kindBool]
	case jsontext.KindNull:
		return kindWords[kindNull]
	case jsontext.KindBeginArray:
		return kindWords[kindArray]
	default:
		return kindWords[kindObject]
	}
}

// path returns where the value at i is, in the form of [ArgumentError].
func (d *document) path(root string, i int) string {
	var b strings.Builder
	b.WriteString(root)
	parts := 0
	for at := 0; at != i; parts++ {
		if parts == maxPathParts {
			b.WriteString("...")
			break
		}
		if d.kind(at) == jsontext.KindBeginArray {
			at = d.elementTo(at, i, &b)
		} else {
			at = d.memberTo(at, i, &b)
		}
	}
	return b.String()
}

// elementTo returns the element of the array at a that i is in.
func (d *document) elementTo(a, i int, path *strings.Builder) int {
	number := 0
	for e := range d.elements(a) {
		if i < int(d.nodes[e].next) {
			path.WriteString("[" + strconv.Itoa(number) + "]")
			return e
		}
		number++
	}
	return i
}

// memberTo returns the value of the object at o that i is in.
func (d *document) memberTo(o, i int, path *strings.Builder) int {
	for name := range d.names(o) {
		if i < int(d.nodes[name+1].next) {
			path.WriteString("." + clip(d.bytes(name)))
			return name + 1
		}
	}
	return i
}
