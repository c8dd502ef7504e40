package schema

import (
	"github.com/go-json-experiment/json/jsontext"
)

// typedVariant writes the value at i as a variant of type t, or of the type that
// it shows where that is another.
func (r *result) typedVariant(t *qtype, i int) {
	switch t.kind {
	case kindAny:
		r.variant(i)
	case kindAlternate:
		r.alternate(t, i)
	case kindInt:
		if !r.isInteger(i) {
			r.misfit(t, i)
		}
		r.variant(i)
	case kindNull:
		if r.document.kind(i) != jsontext.KindNull {
			r.misfit(t, i)
		}
		r.variant(i)
	case kindArray:
		r.arrayVariant(t, i)
	default:
		if !r.fits(t, i) {
			r.misfit(t, i)
			r.variant(i)
			return
		}
		r.encoder.OpenVariant(t.signature)
		r.typed(t, i)
		r.encoder.CloseVariant()
	}
}

// alternate writes a value of the choice that its JSON kind selects.
func (r *result) alternate(t *qtype, i int) {
	for _, c := range t.choices {
		if c.takes(r.document, i) {
			r.typedVariant(c, i)
			return
		}
	}
	r.misfit(t, i)
	r.variant(i)
}

// takes reports whether an alternate's choice takes the value at i.
func (t *qtype) takes(d *document, i int) bool {
	switch kind := d.kind(i); t.kind {
	case kindString, kindEnum:
		return kind == jsontext.KindString
	case kindInt:
		return kind == jsontext.KindNumber && isInteger(d.bytes(i))
	case kindNumber:
		return kind == jsontext.KindNumber
	case kindBool:
		return kind == jsontext.KindTrue || kind == jsontext.KindFalse
	case kindNull:
		return kind == jsontext.KindNull
	case kindArray:
		return kind == jsontext.KindBeginArray
	case kindObject:
		return kind == jsontext.KindBeginObject
	default:
		return false
	}
}

// arrayVariant writes an array. Where its elements are not all of the type that
// the schema gives them it is an av, or an at of integers from 2^63 on.
func (r *result) arrayVariant(t *qtype, i int) {
	e := r.encoder
	switch {
	case r.document.kind(i) != jsontext.KindBeginArray:
		r.misfit(t, i)
		r.variant(i)
		return
	case r.fits(t, i):
		e.OpenVariant(t.signature)
		r.typed(t, i)
	case t.element.kind == kindInt && r.areUnsigned(i):
		e.OpenVariant("at")
		r.unsigned(i)
	default:
		e.OpenVariant("av")
		r.variants(t.element, i)
	}
	e.CloseVariant()
}

// fits reports whether the value at i can be written with the signature of t.
func (r *result) fits(t *qtype, i int) bool {
	switch t.kind {
	case kindAny, kindAlternate:
		return true
	case kindNull: // a variant too
		return true
	case kindInt:
		return r.isInteger(i) && parseNumber(r.document.bytes(i)).Type == 'x'
	case kindArray:
		return r.document.kind(i) == jsontext.KindBeginArray && r.allFit(t.element, i)
	default:
		return t.takes(r.document, i)
	}
}

func (r *result) allFit(element *qtype, array int) bool {
	for e := range r.document.elements(array) {
		if !r.fits(element, e) {
			return false
		}
	}
	return true
}

// isInteger reports whether the value at i is an integer of 64 bits.
func (r *result) isInteger(i int) bool {
	return r.document.kind(i) == jsontext.KindNumber && parseNumber(r.document.bytes(i)).Type != 'd'
}

func (r *result) areUnsigned(array int) bool {
	for e := range r.document.elements(array) {
		if !r.isInteger(e) || r.document.bytes(e)[0] == '-' {
			return false
		}
	}
	return true
}

// typed writes the value at i, which fits, with the signature of t.
func (r *result) typed(t *qtype, i int) {
	e, d := r.encoder, r.document
	switch t.kind {
	case kindString, kindEnum:
		e.StringBytes(d.bytes(i))
	case kindInt:
		e.Int64(parseNumber(d.bytes(i)).Int)
	case kindNumber:
		e.Double(parseDouble(d.bytes(i)))
	case kindBool:
		e.Bool(d.kind(i) == jsontext.KindTrue)
	case kindObject:
		r.record(t, i)
	case kindArray:
		r.typedArray(t.element, i)
	default:
		r.typedVariant(t, i)
	}
}

func (r *result) typedArray(element *qtype, i int) {
	r.encoder.OpenArray(element.signature)
	for e := range r.document.elements(i) {
		if r.encoder.Err() != nil {
			return
		}
		r.typed(element, e)
	}
	r.encoder.CloseArray()
}

// variants writes an array's elements as variants.
func (r *result) variants(element *qtype, i int) {
	r.encoder.OpenArray("v")
	for e := range r.document.elements(i) {
		if r.encoder.Err() != nil {
			return
		}
		r.typedVariant(element, e)
	}
	r.encoder.CloseArray()
}

// unsigned writes an array of integers that are not negative.
func (r *result) unsigned(i int) {
	r.encoder.OpenArray("t")
	for e := range r.document.elements(i) {
		u, _ := parseDigits(r.document.bytes(e))
		r.encoder.Uint64(u)
	}
	r.encoder.CloseArray()
}
