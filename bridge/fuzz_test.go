package bridge_test

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"

	"qmp-dbus-bridge/bridge"
	"qmp-dbus-bridge/schema/wire"
)

// FuzzObjectPath has a call go to any path: only the five objects that there are are found, by their exact paths and
// no other spelling, and what is a path is what godbus takes for one.
func FuzzObjectPath(f *testing.F) {
	objects := []string{"/", "/org", "/org/qemu", string(vmPath), string(qmpPath)}
	for _, path := range append(objects,
		"", "//", "/org/", "/org//qemu/VM1", "/org/qemu/VM1/", "/org/qemu/VM1/../VM1", "/org/qemu/VM1_2fQMP", "/org/qemu/VM_31",
		"/org/qemu/VM1%2fQMP", "/org/qemu/vm1", "org/qemu/VM1", "/org/qemu/VM1\x00", "/org/qemu/VM1/QMP/QMP", "/\xff", "/ä",
	) {
		f.Add(path)
	}
	b := bridge.New(bridge.Config{ObjectPath: string(vmPath), Log: slog.New(slog.DiscardHandler)})
	f.Fuzz(func(t *testing.T, path string) {
		exists := false
		for _, object := range objects {
			exists = exists || path == object
		}
		if got := b.Introspection(path); (got != nil) != exists {
			t.Errorf("%q exists = %v, want %v", path, got != nil, exists)
		}
		if got, want := wire.ValidPath(path), dbus.ObjectPath(path).IsValid(); got != want {
			t.Errorf("ValidPath(%q) = %v, godbus says %v", path, got, want)
		}
		if exists && !wire.ValidPath(path) || wire.ValidPath(path) && strings.ContainsAny(path, "%.\x00 ") {
			t.Errorf("%q is no path", path)
		}
	})
}
