package bridge_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// furnishedOf is furnished, with the commands of a captured QEMU.
func furnishedOf(t *testing.T, schema string) map[string]string {
	t.Helper()
	all := furnished(t)
	maps.Copy(all, map[string]string{"query-qmp-schema": captured(t)[schema]})
	return all
}

// TestObjectCommands has methods of objects called, each of which is one command.
func TestObjectCommands(t *testing.T) {
	m := newMachine(t, furnishedOf(t, "qmp-schema-7.2.22-x86_64.json"))
	w := serve(t, m)
	c := w.as(admin)
	for _, test := range []struct {
		object, method string
		args           []any
		want           string
	}{
		{"block/vd0", "Block.Resize", []any{uint64(1 << 30)}, `block_resize {"node-name":"n0","size":1073741824}`},
	} {
		m.commands()
		if _, err := c.call(at(test.object), busName+"."+test.method, test.args...); err != nil {
			t.Errorf("%s.%s: %v", test.object, test.method, err)
		}
		if diff := cmp.Diff([]string{test.want}, m.commands()); diff != "" {
			t.Errorf("%s.%s (-want +got):\n%s", test.object, test.method, diff)
		}
	}
}

// TestObjectCommandShows has who called a method find what it did when it returns.
func TestObjectCommandShows(t *testing.T) {
	m := newMachine(t, furnishedOf(t, "qmp-schema-7.2.22-x86_64.json"))
	w := serve(t, m)
	c := w.as(admin)
	m.answer("query-block", driveOf("f", "1"))
	if _, err := c.call(at("block/vd0"), blockIf+".Resize", uint64(8)); err != nil {
		t.Fatal(err)
	}
	if size := c.objects()["block/d"]["VirtualSize"]; size != uint64(8) {
		t.Errorf("VirtualSize = %v, want 8", size)
	}
}

// TestObjectCommandDenied has callers that may not: nothing reaches QEMU. What it would not understand is told to those
// alone who may.
func TestObjectCommandDenied(t *testing.T) {
	m := newMachine(t, furnishedOf(t, "qmp-schema-7.2.22-x86_64.json"))
	w := serve(t, m)
	w.as(admin).objects()
	m.commands()
	for _, user := range []struct {
		*caller
		role string
	}{{w.as(viewer), "viewer"}, {w.as(operator), "operator"}, {w.as(helper), "helper"}, {w.as(stranger), "none"}} {
		if _, err := user.call(at("block/vd0"), blockIf+".Resize", uint64(1)); errorName(err) != dbusError+"AccessDenied" {
			t.Errorf("role %s: %v, want AccessDenied", user.role, err)
		}
	}
	if got := m.commands(); got != nil {
		t.Errorf("QEMU was told %q, want nothing", got)
	}
}

// TestObjectCommandIsLacked has a QEMU that lacks the command of a method.
func TestObjectCommandIsLacked(t *testing.T) {
	m := newMachine(t, map[string]string{"query-block": driveOf("f", "1")})
	_, err := serve(t, m).as(admin).call(at("block/d"), blockIf+".Resize", uint64(1))
	if errorName(err) != dbusError+"NotSupported" || !strings.Contains(err.Error(), "block_resize") {
		t.Errorf("%v, want NotSupported", err)
	}
}
