package schema

import (
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"qmp-dbus-bridge/schema/wire"
)

// define fills in what an entry's type is made of. Whatever is of a meta-type
// that this package doesn't know stays any.
func (l *loader) define(e entry) error {
	meta, err := l.text(e.node, "meta-type")
	if err != nil {
		return err
	}
	switch meta {
	case "builtin":
		return l.defineBuiltin(e)
	case "enum":
		return l.defineEnum(e)
	case "array":
		e.of.kind = kindArray
		e.of.element, err = l.reference(e.node, "element-type")
		return err
	case "object":
		return l.defineObject(e)
	case "alternate":
		return l.defineAlternate(e)
	}
	return nil
}

func (l *loader) defineBuiltin(e entry) error {
	of, err := l.text(e.node, "json-type")
	if err != nil {
		return err
	}
	switch of {
	case "string":
		e.of.kind = kindString
	case "int":
		e.of.kind = kindInt
	case "number":
		e.of.kind = kindNumber
	case "boolean":
		e.of.kind = kindBool
	case "null":
		e.of.kind = kindNull
	}
	return nil
}

func (l *loader) defineEnum(e entry) error {
	e.of.kind = kindEnum
	values, err := l.list(e.node, "values")
	e.of.values = l.valueSlab.make(len(values))
	for _, v := range values {
		if l.document.kind(v) != jsontext.KindString {
			return errors.New("a value is not a string")
		}
		value, err := l.intern(l.document.bytes(v))
		if err != nil {
			return err
		}
		e.of.values = append(e.of.values, value)
	}
	return err
}

func (l *loader) defineAlternate(e entry) error {
	e.of.kind = kindAlternate
	members, err := l.list(e.node, "members")
	for _, m := range members {
		choice, err := l.reference(m, "type")
		if err != nil {
			return err
		}
		e.of.choices = append(e.of.choices, choice)
	}
	return err
}

func (l *loader) defineObject(e entry) error {
	t := e.of
	t.kind = kindObject
	members, err := l.list(e.node, "members")
	if err != nil {
		return err
	}
	t.members = l.memberSlab.make(len(members))
	if len(members) > fewMembers {
		t.index = make(map[string]int, len(members))
	}
	for _, m := range members {
		if err := l.addMember(t, m); err != nil {
			return err
		}
	}
	if _, isUnion := l.document.member(e.node, "variants"); isUnion {
		return l.defineBranches(e)
	}
	return nil
}

func (l *loader) addMember(t *qtype, node int) error {
	name, err := l.text(node, "name")
	if err != nil {
		return err
	}
	if _, twice := t.find([]byte(name)); twice {
		return fmt.Errorf("member '%s' is there twice", clip([]byte(name)))
	}
	of, err := l.reference(node, "type")
	if err != nil {
		return fmt.Errorf("member '%s': %w", clip([]byte(name)), err)
	}
	_, optional := l.document.member(node, "default")
	if t.index != nil {
		t.index[name] = len(t.members)
	}
	t.members = append(t.members, member{name, l.quote(name), optional, of})
	return nil
}

// quote returns a name as JSON has it before a value, once for all members that
// have it.
func (l *loader) quote(name string) string {
	if q, known := l.quoted[name]; known {
		return q
	}
	q, _ := jsontext.AppendQuote(nil, name) // the document has made it UTF-8
	l.quoted[name] = string(append(q, ':'))
	return l.quoted[name]
}

func (l *loader) defineBranches(e entry) error {
	tag, err := l.text(e.node, "tag")
	if err != nil {
		return err
	}
	i, found := e.of.find([]byte(tag))
	if !found {
		return fmt.Errorf("its tag '%s' is not a member", clip([]byte(tag)))
	}
	variants, err := l.list(e.node, "variants")
	if err != nil {
		return err
	}
	e.of.tag, e.of.branches = i, make(map[string]*qtype, len(variants))
	for _, v := range variants {
		value, err := l.text(v, "case")
		if err != nil {
			return err
		}
		if e.of.branches[value], err = l.reference(v, "type"); err != nil {
			return err
		}
	}
	return nil
}

// finish works out what needs other types to be defined.
func (t *qtype) finish() error {
	switch t.kind {
	case kindArray:
		return t.finishArray()
	case kindObject:
		t.signature = signatures[t.kind]
		return t.flatten()
	case kindAlternate:
		t.signature = signatures[t.kind]
		return t.finishAlternate()
	default:
		t.signature = signatures[t.kind]
		return nil
	}
}

// finishAlternate checks that JSON's kinds tell the choices apart.
func (t *qtype) finishAlternate() error {
	var taken [kindAlternate + 1]bool
	for _, c := range t.choices {
		switch {
		case c.kind == kindAny || c.kind == kindAlternate:
			return errors.New("a choice is of no kind of its own")
		case taken[c.kind]:
			return errors.New("two choices are of one kind")
		}
		taken[c.kind] = true
	}
	return nil
}

func (t *qtype) finishArray() error {
	depth, inner := 0, t
	for ; inner.kind == kindArray; inner = inner.element {
		if depth++; depth > maxArrays {
			return fmt.Errorf("more than %d arrays in each other: %w", maxArrays, wire.ErrLimit)
		}
	}
	t.signature = strings.Repeat("a", depth) + signatures[inner.kind]
	return nil
}

// flatten counts the members of an object with its branches.
func (t *qtype) flatten() error {
	if t.flat.parts > 0 {
		return nil
	}
	if t.flat.busy {
		return errors.New("it is a branch of itself")
	}
	t.flat.busy = true
	var largest flat
	for _, b := range t.branches {
		if b.kind != kindObject {
			return errors.New("a branch is not an object")
		}
		if err := b.flatten(); err != nil {
			return err
		}
		largest.members = max(largest.members, b.flat.members)
		largest.parts = max(largest.parts, b.flat.parts)
	}
	t.flat = flat{members: len(t.members) + largest.members, parts: 1 + largest.parts}
	if t.flat.members > maxMembers || t.flat.parts > maxParts {
		return fmt.Errorf("more than %d members, or %d branches in each other: %w", maxMembers, maxParts-1, wire.ErrLimit)
	}
	return nil
}
