package bridge

import (
	"qmp-dbus-bridge/bridge/inventory"
	"qmp-dbus-bridge/qmp"
	"qmp-dbus-bridge/schema"
	"qmp-dbus-bridge/schema/wire"
)

// blockMethods are those of org.qemu.VM1.Block.
func blockMethods() []method {
	return []method{
		objectMethod("Block.Resize", []schema.Arg{{Name: "size", Type: "t"}}, ownNode),
		objectMethod("Block.Eject", []schema.Arg{{Name: "force", Type: "b"}}, ownDrive),
		objectMethod("Block.ChangeMedium", []schema.Arg{
			{Name: "filename", Type: "s"},
			{Name: "options", Type: "a{sv}"},
		}, ownDrive),
		objectMethod("Block.SetThrottle", []schema.Arg{{Name: "limits", Type: "a{sv}"}}, ownDriveUnlimited),
		answering(objectMethod("Block.GetStats", nil, nil), schema.Arg{Name: "stats", Type: "a{sv}"}, getStats),
	}
}

// ownNode names the medium by its node.
func ownNode(o *object) []schema.Own {
	return []schema.Own{{Name: "node-name", Value: o.value("NodeName").String()}}
}

// ownDrive names the drive: by its device, since only an old drive has a name of its own, unless it has none.
func ownDrive(o *object) []schema.Own {
	if path := o.value("QomPath").String(); path != "" {
		return []schema.Own{{Name: "id", Value: inventory.DeviceID(path)}}
	}
	return []schema.Own{{Name: "device", Value: o.value("Device").String()}}
}

// limitsOfAll are the limits that block_set_io_throttle wants all of.
var limitsOfAll = []string{"bps", "bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr"}

// ownDriveUnlimited is ownDrive, and no limit where the caller gives none.
func ownDriveUnlimited(o *object) []schema.Own {
	own := ownDrive(o)
	for _, name := range limitsOfAll {
		own = append(own, schema.Own{Name: name, Value: 0, Default: true})
	}
	return own
}

// getStats answers with what QEMU counts of the drive.
func getStats(r *request) {
	r.forward(func(reply qmp.Reply) {
		r.reply("a{sv}", func(e *wire.Encoder) error {
			stats, err := inventory.DriveStats(reply.Return, r.object.value("Device").String(), r.object.value("QomPath").String())
			if err != nil {
				return err
			}
			if stats == nil {
				return r.bridge.noObject(r.Path)
			}
			misfits, err := r.plan.EncodeElement(e, stats)
			r.bridge.noteMisfits(misfits)
			return err
		})
	})
}
