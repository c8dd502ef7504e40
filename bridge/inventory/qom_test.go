package inventory_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"qmp-dbus-bridge/bridge/inventory"
)

func name(n int) string { return strings.Repeat("n", n) }

// TestReadProperties reads what a QEMU may answer to qom-list, and what only a hostile one does.
func TestReadProperties(t *testing.T) {
	for reply, want := range map[string]struct {
		list []inventory.Property
		left int
	}{
		`[]`: {},
		`[{"name": "b", "type": "child<x>"}, {"name": "a", "type": "link<y>"}]`: {
			list: []inventory.Property{{"a", "link<y>"}, {"b", "child<x>"}},
		},
		`[{"type": "int", "name": "a", "description": "new", "default-value": [1]}]`:          {list: []inventory.Property{{"a", "int"}}},
		`[{"name": "a", "type": "1"}, {"name": "b", "type": ""}, {"name": "a", "type": "2"}]`: {[]inventory.Property{{"a", "1"}, {"b", ""}}, 1},
		`[{}, {}, {"name": null}]`:                                       {[]inventory.Property{{}}, 2},
		`[{"name": "` + name(inventory.MaxName) + `"}]`:                  {list: []inventory.Property{{name(inventory.MaxName), ""}}},
		`[{"name": "` + name(inventory.MaxName+1) + `"}, {"name": "a"}]`: {[]inventory.Property{{"a", ""}}, 1},
		`[{"name": "a", "type": "` + name(inventory.MaxName) + `"}]`:     {list: []inventory.Property{{"a", name(inventory.MaxName)}}},
		`[{"name": "a", "type": "` + name(inventory.MaxName+1) + `"}]`:   {left: 1},
		"[{\"name\": \"\xff\", \"name\": \"\\u0000\"}]":                  {list: []inventory.Property{{"\x00", ""}}},
	} {
		list, left, err := inventory.ReadProperties([]byte(reply))
		if diff := cmp.Diff(want.list, list); err != nil || diff != "" || left != want.left {
			t.Errorf("%.80s: %d left, want %d, error %v, properties (-want +got):\n%s", reply, left, want.left, err, diff)
		}
	}
	for _, reply := range []string{``, `{}`, `null`, `"x"`, `[`, `[1]`, `["a"]`, `[[]]`, `[{"name": 1}]`, `[{"name": "a"`, `[{"name": "a"}`, `[{}, {"type": []}]`} {
		if list, left, err := inventory.ReadProperties([]byte(reply)); err == nil || list != nil || left != 0 {
			t.Errorf("%s = %v, %d left, %v, want an error", reply, list, left, err)
		}
	}
}

// TestMaxProperties has an object with as many properties as are read, and more.
func TestMaxProperties(t *testing.T) {
	for _, more := range []int{0, 1, 1000} {
		var reply []byte
		for i := range inventory.MaxProperties + more {
			reply = fmt.Appendf(reply, `,{"name": "n%06d", "type": "child<x>"}`, i)
		}
		list, left, err := inventory.ReadProperties(append([]byte("["), append(reply[1:], ']')...))
		if err != nil || left != more || len(list) != inventory.MaxProperties || list[len(list)-1].Name != fmt.Sprintf("n%06d", inventory.MaxProperties-1) {
			t.Errorf("%d more: %d properties, %d left, %v", more, len(list), left, err)
		}
	}
}

func TestChild(t *testing.T) {
	for kind, want := range map[string]string{"child<qemu:memory-region>": "qemu:memory-region", "child<>": "", "child<a": "a"} {
		if of, is := (inventory.Property{Type: kind}).Child(); !is || of != want {
			t.Errorf("Child of %s = %q, %v, want %q", kind, of, is, want)
		}
	}
	for _, kind := range []string{"", "string", "link<x>", "child", "Child<x>", " child<x>"} {
		if of, is := (inventory.Property{Type: kind}).Child(); is {
			t.Errorf("Child of %s = %q, want none", kind, of)
		}
	}
}

// FuzzReadProperties reads anything.
func FuzzReadProperties(f *testing.F) {
	f.Add([]byte(`[{"name": "type", "type": "string"}]`))
	f.Add([]byte(`[{"name": "a", "type": "child<b>"}, {"name": "a"}, 1]`))
	f.Fuzz(func(t *testing.T, reply []byte) {
		list, _, _ := inventory.ReadProperties(reply)
		for i, p := range list {
			if len(p.Name) > inventory.MaxName || len(p.Type) > inventory.MaxName || i > 0 && list[i-1].Name >= p.Name {
				t.Errorf("%d: %q", i, p)
			}
		}
	})
}
