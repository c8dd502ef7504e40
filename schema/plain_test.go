package schema_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"
)

// plain turns a value of godbus into one of encoding/json, with its types lost.
func plain(v any) any {
	switch v := v.(type) {
	case dbus.Variant:
		return plain(v.Value())
	case dbus.Signature:
		return nil
	case string, bool:
		return v
	case int64, uint64:
		return json.Number(fmt.Sprint(v))
	case float64:
		return json.Number(fmt.Sprintf("%.17g", v))
	}
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.Map:
		object := make(map[string]any)
		for _, key := range r.MapKeys() {
			object[key.String()] = plain(r.MapIndex(key).Interface())
		}
		return object
	default:
		list := make([]any, r.Len())
		for i := range list {
			list[i] = plain(r.Index(i).Interface())
		}
		return list
	}
}

// byValue compares numbers by value: a typed d has 0.0 for 0.
var byValue = cmp.Comparer(func(a, b json.Number) bool {
	if a == b {
		return true
	}
	x, _ := a.Float64()
	y, _ := b.Float64()
	return x == y && slices.ContainsFunc([]json.Number{a, b}, func(n json.Number) bool {
		return strings.ContainsAny(n.String(), ".eE")
	})
})
