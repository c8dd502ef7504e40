package schema

import (
	"github.com/go-json-experiment/json/jsontext"

	"qmp-dbus-bridge/schema/wire"
)

// EncodeVariant appends a JSON value to e as one variant, by the table of the
// package comment: for a result without a schema.
//
// On an error e is as its own errors leave it, and the caller drops
// what was written. An error that wraps wire.ErrLimit says that the value is
// too large or too deep for D-Bus; the same value can be had as text, see
// [Text]. json is not kept.
func EncodeVariant(e *wire.Encoder, json []byte) error {
	d, err := parseDocument(json)
	if err != nil {
		return err
	}
	defer d.release()
	(&result{document: d, encoder: e}).variant(0)
	return e.Err()
}

// result writes what QEMU sent to D-Bus. The encoder's sticky error ends it:
// its depth limit also bounds the recursion.
type result struct {
	document *document
	encoder  *wire.Encoder
	root     string // the command or event
	misfits  Misfits
}

// variant writes the value at i as a variant of the type that it shows.
func (r *result) variant(i int) {
	e := r.encoder
	switch kind := r.document.kind(i); kind {
	case jsontext.KindNull:
		e.OpenVariant("g")
		e.Signature("")
	case jsontext.KindTrue, jsontext.KindFalse:
		e.OpenVariant("b")
		e.Bool(kind == jsontext.KindTrue)
	case jsontext.KindNumber:
		r.number(i)
	case jsontext.KindString:
		e.OpenVariant("s")
		e.StringBytes(r.document.bytes(i))
	case jsontext.KindBeginArray:
		e.OpenVariant("av")
		r.array(i)
	case jsontext.KindBeginObject:
		e.OpenVariant("a{sv}")
		r.dict(i)
	}
	e.CloseVariant()
}

// number opens a variant and writes the number at i into it.
func (r *result) number(i int) {
	switch n := parseNumber(r.document.bytes(i)); n.Type {
	case 'x':
		r.encoder.OpenVariant("x")
		r.encoder.Int64(n.Int)
	case 't':
		r.encoder.OpenVariant("t")
		r.encoder.Uint64(n.Uint)
	default:
		r.encoder.OpenVariant("d")
		r.encoder.Double(n.Double)
	}
}

func (r *result) array(i int) {
	r.encoder.OpenArray("v")
	for element := range r.document.elements(i) {
		if r.encoder.Err() != nil {
			return
		}
		r.variant(element)
	}
	r.encoder.CloseArray()
}

func (r *result) dict(i int) {
	names, mark := r.document.sorted(i)
	defer r.document.unsort(mark)
	r.encoder.OpenArray("{sv}")
	for _, name := range names {
		if r.encoder.Err() != nil {
			return
		}
		r.encoder.OpenDictEntry()
		r.encoder.StringBytes(r.document.bytes(name))
		r.variant(name + 1)
		r.encoder.CloseDictEntry()
	}
	r.encoder.CloseArray()
}
