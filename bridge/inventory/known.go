package inventory

import (
	"encoding/json"
	"fmt"
	"slices"

	"qmp-dbus-bridge/schema"
)

// Detail is what is asked of each object by itself, because no command tells it of all, or of one of those that have the same: once,
// since it stays the same for as long as the object is there. It is a text of QOM's, and becomes the last of the object's values.
type Detail struct {
	property string             // of the device that has the object's id
	required bool               // what has no such property is no object
	show     func(string) Value // of what QEMU tells
	survey   *survey            // nil for none
}

// ask is the command that asks for the detail of an item; its name is empty if QEMU can't be told of such an id.
func (d *Detail) ask(of Item) (command string, arguments []byte) {
	arguments, err := schema.AppendString([]byte(`{"path":`), peripheral+of.ID, "path")
	if err != nil {
		return "", nil
	}
	return "qom-get", fmt.Appendf(arguments, `,"property":%q}`, d.property)
}

// read reads what QEMU told.
func (d *Detail) read(reply []byte) (Value, error) {
	var told string
	if err := json.Unmarshal(reply, &told); err != nil {
		return Value{}, fmt.Errorf("%s of an object: it is no text", d.property)
	}
	return d.show(told), nil
}

// Known is what is known of the objects of a query beside its replies. Not for concurrent use.
type Known struct {
	query   *Query
	details map[string]detail // by id, of objects that are there
	changes int               // how often there may be another object of an id
	asked   int               // of changes, when the query was asked
	hearsay hearsay           // nil for none
}

// detail is what was told of one object.
type detail struct {
	values []Value // the object's, as they were without it
	value  Value
	lacks  bool // QEMU has no such property
}

// hearsay is what no reply to a query tells, but was heard.
type hearsay interface {
	asked()                                    // the query, once more
	executed(command string, arguments []byte) // for a caller
	heard(event string, data []byte)
	complete(items []Item) // with what was heard, and forget the rest
}

// Known is what is known of a QEMU that has just been reached: nothing.
func (q *Query) Known() *Known {
	k := &Known{query: q, details: map[string]detail{}}
	if q.hearsay != nil {
		k.hearsay = q.hearsay()
	}
	return k
}

// Asked is called when the query is sent.
func (k *Known) Asked() {
	k.asked = k.changes
	if k.hearsay != nil {
		k.hearsay.asked()
	}
}

// knows tells whether the detail of an item is known, or that it has none.
func (k *Known) knows(item Item) bool {
	d, found := k.details[item.ID]
	return found && slices.Equal(d.values, item.Values)
}

func (k *Known) learn(of Item, value Value) {
	k.details[of.ID] = detail{values: slices.Clone(of.Values), value: value}
}

// learnNone takes in that QEMU has no such thing.
func (k *Known) learnNone(of Item) {
	k.details[of.ID] = detail{values: slices.Clone(of.Values), lacks: true}
}

// Executed takes in a command of a caller that QEMU has executed.
func (k *Known) Executed(command string, arguments []byte) {
	if command == "device_add" && k.query.Detail != nil {
		var told struct {
			ID string `json:"id"`
		}
		_ = json.Unmarshal(arguments, &told) // they were made by the bridge
		delete(k.details, told.ID)
		k.changes++
	}
	if k.hearsay != nil {
		k.hearsay.executed(command, arguments)
	}
}

// Heard takes in an event.
func (k *Known) Heard(event string, data []byte) {
	if event == "DEVICE_DELETED" && k.query.Detail != nil {
		delete(k.details, DeletedDevice(data))
		k.changes++
	}
	if k.hearsay != nil {
		k.hearsay.heard(event, data)
	}
}

// DeletedDevice is the id of the device that a DEVICE_DELETED with this data tells of, empty if it has none.
func DeletedDevice(data []byte) string {
	var told struct {
		Device string `json:"device"`
	}
	_ = json.Unmarshal(data, &told) // what has no id as a text has none
	return told.Device
}

// Complete adds to a reading, the last one of the query, what is known of its objects, and forgets what is known of others.
func (k *Known) Complete(r Reading) Reading {
	if d := k.query.Detail; d != nil {
		details := make(map[string]detail, len(r.Items))
		r.Items = slices.DeleteFunc(r.Items, func(item Item) bool {
			told, found := k.details[item.ID]
			if found {
				details[item.ID] = told
			}
			item.Values[len(item.Values)-1] = told.value
			return d.required && (told.lacks || !found)
		})
		k.details = details
	}
	if k.hearsay != nil {
		k.hearsay.complete(r.Items)
	}
	return r
}
