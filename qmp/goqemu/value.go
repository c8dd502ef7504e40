package goqemu

import (
	"encoding/json"
	"reflect"

	"github.com/godbus/dbus/v5"
)

// eventData gives an event's data as the JSON that it was, nil if there is none.
func eventData(data map[string]dbus.Variant) ([]byte, error) {
	if len(data) == 0 {
		return nil, nil
	}
	if text, ok := data["json"].Value().(string); ok && len(data) == 1 && json.Valid([]byte(text)) && text[0] == '{' {
		return []byte(text), nil // it didn't fit into D-Bus
	}
	return json.Marshal(plain(data))
}

// plain gives a value without variants and with null for the empty signature, as docs/api.md's table has QAPI's types.
// It is no deeper than D-Bus lets containers be, 64.
func plain(value any) any {
	switch v := value.(type) {
	case dbus.Variant:
		return plain(v.Value())
	case dbus.Signature:
		return nil
	case map[string]dbus.Variant:
		members := make(map[string]any, len(v))
		for name, member := range v {
			members[name] = plain(member)
		}
		return members
	}
	list := reflect.ValueOf(value)
	if list.Kind() != reflect.Slice {
		return value
	}
	elements := make([]any, list.Len())
	for i := range elements {
		elements[i] = plain(list.Index(i).Interface())
	}
	return elements
}
