package schema

import (
	"slices"
	"strings"
)

// typed writes the value at the decoder as one of type t; without a type it does
// as value does.
func (a *arguments) typed(t *qtype) {
	if t == nil || t.kind == kindAny {
		a.value()
		return
	}
	got := a.decoder.Kind()
	if got == 'v' {
		a.decoder.Enter()
		a.typed(t)
		a.decoder.Exit()
		return
	}
	switch t.kind {
	case kindObject:
		a.record(t)
	case kindArray:
		a.listOf(t)
	case kindAlternate:
		a.alternate(t)
	default:
		a.scalar(t, got)
		a.count(2)
	}
}

// scalar writes a value that is no container.
func (a *arguments) scalar(t *qtype, got byte) {
	is := scalarKind(got)
	switch {
	case t.kind == kindString && a.takesFDs():
		a.descriptors()
	case is == kindString && t.kind == kindEnum:
		a.enum(t)
	case is == kindInt && t.kind == kindNumber:
		a.integer(got)
	case is != t.kind:
		a.mismatch(t)
	case is == kindString:
		a.text()
	case is == kindInt:
		a.integer(got)
	case is == kindNumber:
		a.double()
	case is == kindBool:
		a.boolean()
	case is == kindNull:
		a.null()
	}
}

// scalarKind returns the kind of the values that are read from a D-Bus type,
// kindAny for those of the types that are none or containers.
func scalarKind(code byte) kind {
	switch code {
	case 's', 'o':
		return kindString
	case 'y', 'n', 'q', 'i', 'u', 'x', 't':
		return kindInt
	case 'd':
		return kindNumber
	case 'b':
		return kindBool
	case 'g':
		return kindNull
	}
	return kindAny
}

func (a *arguments) enum(t *qtype) {
	value := a.decoder.Bytes()
	if slices.Contains(t.values, string(value)) {
		a.quote(value)
		return
	}
	a.fail("'%s' is not one of %s", clip(value), strings.Join(t.values, ", "))
}

// alternate writes a value of the choice that its D-Bus type selects.
func (a *arguments) alternate(t *qtype) {
	k := scalarKind(a.decoder.Kind())
	switch {
	case k != kindAny:
	case a.atDict():
		k = kindObject
	case a.atList():
		k = kindArray
	}
	choice := t.choice(k)
	switch {
	case choice != nil:
	case k == kindString:
		choice = t.choice(kindEnum)
	case k == kindInt:
		choice = t.choice(kindNumber)
	}
	if choice == nil {
		a.mismatch(t)
		return
	}
	a.typed(choice)
}

// listOf writes an array or a struct as a list of elements of t's.
func (a *arguments) listOf(t *qtype) {
	if !a.atList() {
		a.mismatch(t)
		return
	}
	a.list(t.element)
}

func (a *arguments) atDict() bool {
	return a.decoder.Kind() == 'a' && a.decoder.Type()[1] == '{'
}

func (a *arguments) atList() bool {
	kind := a.decoder.Kind()
	return kind == '(' || kind == 'a' && a.decoder.Type()[1] != '{'
}

// mismatch says that the value at the decoder is not of type t.
func (a *arguments) mismatch(t *qtype) {
	a.fail("expected %s, got %s", t.words(), a.words())
}

// kindWords are what errors call the kinds.
var kindWords = [...]string{
	kindAny: "value", kindString: "string", kindEnum: "string", kindInt: "int", kindNumber: "number",
	kindBool: "bool", kindNull: "null", kindObject: "object", kindArray: "array", kindAlternate: "value",
}

// words returns what errors call a type: what JSON has for it.
func (t *qtype) words() string {
	if t.kind != kindAlternate {
		return kindWords[t.kind]
	}
	var words []string
	for _, c := range t.choices {
		if word := kindWords[c.kind]; !slices.Contains(words, word) {
			words = append(words, word)
		}
	}
	return strings.Join(words, " or ")
}

// words returns what errors call the value at the decoder.
func (a *arguments) words() string {
	switch kind := a.decoder.Kind(); {
	case kind == 0:
		return "nothing"
	case kind == 'h':
		return "file descriptor"
	case kind == 'g':
		if a.scout = *a.decoder; len(a.scout.Bytes()) > 0 {
			return "signature"
		}
		return "null"
	case a.atDict():
		return "object"
	case a.atList():
		return "array"
	default:
		return kindWords[scalarKind(kind)]
	}
}
