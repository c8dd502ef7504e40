package bridge

import (
	"slices"
	"strings"

	"qmp-dbus-bridge/bridge/inventory"
)

// reading is what QEMU answered to one query, as it is shown. It never changes.
type reading struct {
	facts   []inventory.Value // nil: none is known
	objects []*object         // sorted by path
}

// nothing is read before a QEMU has been reached.
var nothing = new(reading)

// newReading makes objects of what was read. An object that is as it was before is the same one; and so is the
// reading as a whole.
func newReading(k *kind, told inventory.Reading, before *reading) *reading {
	now := &reading{facts: told.Facts}
	same := slices.Equal(told.Facts, before.facts) && len(told.Items) == len(before.objects)
	for i := range told.Items {
		item := &told.Items[i]
		path := k.above + "/" + item.Element
		o := before.find(path)
		if o == nil || o.id != item.ID || o.end != item.End || !slices.Equal(o.values, item.Values) {
			o = &object{
				path: path, interfaces: k.interfaces,
				id: item.ID, query: k.query, main: k.main, values: item.Values, end: item.End,
			}
			same = false
		}
		now.objects = append(now.objects, o)
	}
	if same {
		return before
	}
	return now
}

// fact is one of the facts, the zero value if it is not known.
func (r *reading) fact(i int) inventory.Value {
	if r.facts == nil {
		return inventory.Value{}
	}
	return r.facts[i]
}

// find finds the object at path, or nil.
func (r *reading) find(path string) *object {
	i, found := slices.BinarySearchFunc(r.objects, path, func(o *object, path string) int {
		return strings.Compare(o.path, path)
	})
	if !found {
		return nil
	}
	return r.objects[i]
}
