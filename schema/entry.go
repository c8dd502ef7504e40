package schema

import (
	"errors"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"

	"qmp-dbus-bridge/schema/wire"
)

// text returns a member that has to be a string.
func (l *loader) text(object int, name string) (string, error) {
	d := l.document
	if d.kind(object) != jsontext.KindBeginObject {
		return "", errors.New("an entry is not an object")
	}
	value, found := d.member(object, name)
	if !found || d.kind(value) != jsontext.KindString {
		return "", fmt.Errorf("an entry has no %s", name)
	}
	return l.intern(d.bytes(value))
}

// intern returns one string for all equal names.
func (l *loader) intern(name []byte) (string, error) {
	if s, known := l.names[string(name)]; known {
		return s, nil
	}
	if len(name) > maxLabel {
		return "", fmt.Errorf("name of %d bytes: %w", len(name), wire.ErrLimit)
	}
	s := string(name)
	l.names[s] = s
	return s, nil
}

// reference returns the type that a member names.
func (l *loader) reference(object int, name string) (*qtype, error) {
	to, err := l.text(object, name)
	if err != nil {
		return nil, err
	}
	if t := l.types[to]; t != nil {
		return t, nil
	}
	return nil, fmt.Errorf("%s '%s' is not in the schema", name, clip([]byte(to)))
}

// isTrue reports whether a member is there and true.
func (l *loader) isTrue(object int, name string) bool {
	value, found := l.document.member(object, name)
	return found && l.document.kind(value) == jsontext.KindTrue
}

func (l *loader) has(object int, name string) bool {
	_, found := l.document.member(object, name)
	return found
}

// object returns the type that a member names, which has to be an object; if the
// member is not there, any object will do.
func (l *loader) object(entry int, name string) (*qtype, error) {
	if !l.has(entry, name) {
		return &qtype{kind: kindObject, signature: signatures[kindObject], tag: -1, open: true}, nil
	}
	t, err := l.reference(entry, name)
	if err == nil && t.kind != kindObject {
		return nil, fmt.Errorf("%s is not an object", name)
	}
	return t, err
}

// list returns the elements of a member that is a list, none if it is not there.
func (l *loader) list(object int, name string) ([]int, error) {
	d := l.document
	value, found := d.member(object, name)
	if !found {
		return nil, nil
	}
	if d.kind(value) != jsontext.KindBeginArray {
		return nil, fmt.Errorf("%s is not a list", name)
	}
	var elements []int
	for e := range d.elements(value) {
		if len(elements) == maxMembers {
			return nil, fmt.Errorf("more than %d %s: %w", maxMembers, name, wire.ErrLimit)
		}
		elements = append(elements, e)
	}
	return elements, nil
}

// hasFeature reports whether an entry lists the feature.
func (l *loader) hasFeature(entry int, feature string) bool {
	d := l.document
	features, found := d.member(entry, "features")
	if !found || d.kind(features) != jsontext.KindBeginArray {
		return false
	}
	for f := range d.elements(features) {
		if d.kind(f) == jsontext.KindString && string(d.bytes(f)) == feature {
			return true
		}
	}
	return false
}
