package bridge

import (
	"qmp-dbus-bridge/schema"
	"qmp-dbus-bridge/schema/wire"
)

// blockMethods are those of org.qemu.VM1.Block.
func blockMethods() []method {
	return []method{
		objectCommand("Resize", "block_resize", []schema.Arg{{Name: "size", Type: "t"}}, func(o *object, d *wire.Decoder) arguments {
			return arguments{"node-name": o.value("NodeName").String(), "size": d.Uint64()}
		}),
	}
}
