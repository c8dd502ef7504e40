package inventory

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"qmp-dbus-bridge/schema"
)

// What is read of one reply.
const (
	MaxItems = 1024 // objects; a q35 takes some 250 devices, and a pc-q35 has at most 288 CPUs (7.2)
	MaxName  = 255  // bytes of an id, which makes at most three times as many in its path
)

// Pace is how often an answer is asked for that changes without an event, while it does.
const Pace = time.Second

// Query is a QMP command and what is read from its reply.
type Query struct {
	Command   string
	Arguments []byte            // a JSON object; nil for none
	Facts     []schema.Property // of the VM itself
	Kind      *Kind             // of the objects in the reply; nil for none
	Detail    *Detail           // of each of them; nil for none

	// After these the reply may be another. Every command stands for its success, but for those refused.
	events, commands, refused []string
	read                      func(reply []byte) (Reading, error)
	hearsay                   func() hearsay // of a QEMU that has just been reached; nil for none
}

// Kind is a kind of objects: they are at Name/ELEMENT below the VM's, or right below it without a Name. A property with the annotation
// schema.AnnotationCommand is for those who may run that command; a broadcast must not have it.
type Kind struct {
	Name       string
	Interface  string
	Properties []schema.Property
}

// Reading is what a reply told.
type Reading struct {
	Facts []Value // in the order of Query.Facts
	Items []Item  // sorted by Element, no two with the same
	Left  int     // items that were left out because of a limit or a repeated name

	// Moving tells that the answer changes without an event: it is to be asked for again after Pace.
	Moving bool
}

// Item is an object.
type Item struct {
	ID      string  // what QEMU calls it
	Element string  // the last one of its path
	Values  []Value // in the order of Kind.Properties
	End     uint64  // of a job that has ended while it was heard of: which one it is of all; else 0
}

// Read reads a reply to the command. It keeps nothing of it. Known.Complete adds what the reply does not tell.
func (q *Query) Read(reply []byte) (Reading, error) {
	r, err := q.read(reply)
	if err != nil {
		return q.Nothing(), fmt.Errorf("%s: %w", q.Command, err)
	}
	return r, nil
}

// Nothing is the reading of a QEMU that can't answer the command: it has none of it.
func (q *Query) Nothing() Reading { return Reading{Facts: make([]Value, len(q.Facts))} }

// facts makes a reader of a reply that tells facts.
func facts[T any](of func(T) []Value) func([]byte) (Reading, error) {
	return func(reply []byte) (Reading, error) {
		var told T
		if err := json.Unmarshal(reply, &told); err != nil {
			return Reading{}, err
		}
		return Reading{Facts: of(told)}, nil
	}
}

// list makes a reader of a reply that is a list. What has no element is no object.
func list[T any](item func(T) Item) func([]byte) (Reading, error) {
	return func(reply []byte) (Reading, error) {
		var told []T
		if err := json.Unmarshal(reply, &told); err != nil {
			return Reading{}, err
		}
		var r Reading
		for i := range told {
			if one := item(told[i]); one.Element != "" {
				r.add(one)
			}
		}
		slices.SortFunc(r.Items, func(a, b Item) int { return strings.Compare(a.Element, b.Element) })
		all := len(r.Items)
		r.Items = slices.CompactFunc(r.Items, func(a, b Item) bool { return a.Element == b.Element })
		r.Left += all - len(r.Items)
		return r, nil
	}
}

// add adds an item within the limits, and tells whether it has.
func (r *Reading) add(one Item) bool {
	if len(r.Items) == MaxItems || len(one.Element) > 3*MaxName {
		r.Left++
		return false
	}
	r.Items = append(r.Items, one)
	return true
}

// newItem is the object with that id: none if there is no id, and one that is left out if the id is over MaxName.
func newItem(id string, values ...Value) Item {
	switch {
	case id == "":
		return Item{}
	case len(id) > MaxName:
		return Item{Element: tooLong}
	}
	return Item{ID: id, Element: Element(id), Values: values}
}

// tooLong is longer than any element.
var tooLong = strings.Repeat("_", 3*MaxName+1)
