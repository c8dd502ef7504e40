package bridge

import "qmp-dbus-bridge/schema"

// netMethods are those of org.qemu.VM1.Net.
func netMethods() []method {
	return []method{
		objectMethod("Net.SetLink", []schema.Arg{{Name: "up", Type: "b"}}, func(o *object) []schema.Own {
			return []schema.Own{{Name: "name", Value: o.id}}
		}),
	}
}
