package schema

import (
	"bytes"
	"math"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// object writes the value at the decoder, which must be a dictionary.
func (a *arguments) object() {
	switch kind := a.decoder.Kind(); {
	case kind == 'v':
		a.inside(a.object)
	case kind == 'a' && a.decoder.Type()[1] == '{':
		a.dict()
	default:
		a.fail("expected a dictionary, got D-Bus type '%s'", a.decoder.Type())
	}
}

// value writes the value at the decoder by its type alone.
func (a *arguments) value() {
	switch kind := a.decoder.Kind(); kind {
	case 'v':
		a.inside(a.value)
		return
	case 'a':
		if a.decoder.Type()[1] == '{' {
			a.dict()
		} else {
			a.list(nil)
		}
	case '(':
		a.list(nil)
	case 's', 'o':
		a.text()
	case 'b':
		a.boolean()
	case 'g':
		a.null()
	case 'd':
		a.double()
	case 'h':
		a.descriptors()
	default:
		a.integer(kind)
	}
	a.count(2)
}

// inside writes a variant's content.
func (a *arguments) inside(write func()) {
	a.decoder.Enter()
	write()
	a.decoder.Exit()
}

func (a *arguments) integer(kind byte) {
	d := a.decoder
	switch kind {
	case 'y':
		a.json = strconv.AppendUint(a.json, uint64(d.Byte()), 10)
	case 'n':
		a.json = strconv.AppendInt(a.json, int64(d.Int16()), 10)
	case 'q':
		a.json = strconv.AppendUint(a.json, uint64(d.Uint16()), 10)
	case 'i':
		a.json = strconv.AppendInt(a.json, int64(d.Int32()), 10)
	case 'u':
		a.json = strconv.AppendUint(a.json, uint64(d.Uint32()), 10)
	case 'x':
		a.json = strconv.AppendInt(a.json, d.Int64(), 10)
	case 't':
		a.json = strconv.AppendUint(a.json, d.Uint64(), 10)
	default:
		a.fail("expected a value, got nothing")
	}
}

func (a *arguments) boolean() {
	a.json = strconv.AppendBool(a.json, a.decoder.Bool())
}

func (a *arguments) double() {
	f := a.decoder.Double()
	if math.IsNaN(f) || math.IsInf(f, 0) {
		a.fail("%v is not a JSON number", f)
		return
	}
	a.json = appendDouble(a.json, f)
}

func (a *arguments) null() {
	if s := a.decoder.Bytes(); len(s) > 0 {
		a.fail("expected the empty signature for null, got the signature '%s'", s)
	}
	a.json = append(a.json, "null"...)
}

func (a *arguments) text() {
	a.quote(a.decoder.Bytes())
}

func (a *arguments) quote(s []byte) {
	if r, found := noncharacter(s); found {
		a.fail("%s", noncharacterFault(r))
	}
	a.json, _ = jsontext.AppendQuote(a.json, s) // the decoder has checked that it is UTF-8
}

// list writes an array or a struct, its elements of type t.
func (a *arguments) list(t *qtype) {
	a.decoder.Enter()
	a.json = append(a.json, '[')
	for i := 0; a.decoder.More(); i++ {
		if i > 0 {
			a.json = append(a.json, ',')
		}
		a.typed(t)
		if a.failed() {
			a.place.inElement(i)
			return
		}
	}
	a.json = append(a.json, ']')
	a.count(1)
	a.decoder.Exit()
}

// dict writes a dictionary.
func (a *arguments) dict() {
	if t := a.decoder.Type(); t[2] != 's' {
		a.fail("expected strings as keys, got D-Bus type '%s'", t)
		return
	}
	a.decoder.Enter()
	a.json = append(a.json, '{')
	start := len(a.keys)
	for a.decoder.More() {
		if len(a.keys) > start {
			a.json = append(a.json, ',')
		}
		a.anyMember()
		if a.failed() {
			return
		}
	}
	a.json = append(a.json, '}')
	a.count(1)
	a.unique(a.keys[start:])
	a.keys = a.keys[:start]
	a.decoder.Exit()
}

// anyMember writes one entry of a dictionary and adds its key to keys.
func (a *arguments) anyMember() {
	a.decoder.Enter()
	key := a.decoder.Bytes()
	a.keys = append(a.keys, key)
	a.quote(key)
	a.json = append(a.json, ':')
	a.count(2)
	a.value()
	a.decoder.Exit()
	if a.failed() {
		a.place.inMember(key)
	}
}

// unique checks that no key is there twice; it sorts them.
func (a *arguments) unique(keys [][]byte) {
	slices.SortFunc(keys, bytes.Compare)
	for i := 1; i < len(keys); i++ {
		if bytes.Equal(keys[i-1], keys[i]) {
			a.fail("key '%s' is there twice", clip(keys[i]))
			return
		}
	}
}
