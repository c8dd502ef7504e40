package bridge_test

import (
	"strings"
	"sync/atomic"
	"testing"

	"qmp-dbus-bridge/qmp/qmptest"
)

// TestSchemaIsKept has QEMU come back: what it has is asked for again only where its version, package
// or target is another.
func TestSchemaIsKept(t *testing.T) {
	m := newMachine(t, nil)
	var asked atomic.Int64
	names := schemaOf(t, []string{"stop"}, []string{"STOP"})
	m.script("query-qmp-schema", func(_ *qmptest.QEMU, r *qmptest.Request) { asked.Add(1); r.Return(names) })
	c := serve(t, m).as(admin)
	changes := c.changes()
	if asked.Load() != 1 {
		t.Errorf("asked %d times at first, want once", asked.Load())
	}
	for _, test := range []struct {
		what, old, new, arch string
		want                 bool
	}{
		{"the same", "", "", "x86_64", false},
		{"the same again", "", "", "x86_64", false},
		{"another micro version", `"micro": 22`, `"micro": 23`, "x86_64", true},
		{"the first", "", "", "x86_64", true}, // one is kept, not all
		{"another package", `"package": "`, `"package": "x`, "x86_64", true},
		{"another target", `"package": "`, `"package": "x`, "aarch64", true},
		{"that again", `"package": "`, `"package": "x`, "aarch64", false},
	} {
		before := asked.Load()
		m.die()
		changed(t, changes)
		greeting := strings.Replace(qmptest.Greeting, test.old, test.new, 1)
		if test.old != "" && greeting == qmptest.Greeting {
			t.Fatalf("%s: the greeting has no %s", test.what, test.old)
		}
		m.answer("query-target", `{"arch": "`+test.arch+`"}`)
		m.listen(qmptest.Options{Greeting: greeting})
		changed(t, changes)
		if got := asked.Load() > before; got != test.want {
			t.Errorf("%s: asked for the schema: %v, want %v", test.what, got, test.want)
		}
	}
}
