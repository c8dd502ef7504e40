package bridge

import (
	"context"
	"strings"

	"qmp-dbus-bridge/bridge/inventory"
	"qmp-dbus-bridge/qmp"
)

// maxExposed is how many names a warning tells, to keep it one line of the log.
const maxExposed = 8

// askDisplay asks a QEMU how it shows its display, for warnOfExposure.
func askDisplay(monitor *qmp.Conn) *question {
	return ask(monitor, qmp.Command{Name: "query-display-options"})
}

// warnOfExposure says loudly which character devices QEMU shows on the bus by -display dbus. One of them that is
// a monitor, as those named org.qemu.monitor.* are, hands raw QMP or HMP to whoever may call org.qemu there,
// past policy and audit. Which are monitors QMP does not tell: the name is shown on the bus alone
// (7.2 to 10.0).
func (b *Bridge) warnOfExposure(ctx context.Context, monitor *qmp.Conn, asked *question) error {
	var display struct {
		Type string `json:"type"`
		P2P  bool   `json:"p2p"` // on connections of its own, not on a bus
	}
	if err := asked.read(ctx, &display); err != nil {
		return err
	}
	if display.Type != "dbus" || display.P2P {
		return nil
	}
	names, err := exposed(ctx, monitor)
	if err == nil && len(names) > 0 {
		b.log.Warn("QEMU shows character devices on the bus (-display dbus): one that is a monitor gives QMP past policy and audit to whoever may call org.qemu; take it from QEMU's command line",
			"devices", strings.Join(names[:min(len(names), maxExposed)], ","), "count", len(names))
	}
	return err
}

// exposed are the character devices that -display dbus shows.
func exposed(ctx context.Context, monitor *qmp.Conn) (names []string, err error) {
	var children []struct {
		Name string `json:"name"`
		Type string `json:"type"`
	}
	list := qmp.Command{Name: "qom-list", Arguments: []byte(`{"path":"/chardevs"}`)}
	if err := ask(monitor, list).read(ctx, &children); err != nil {
		return nil, err
	}
	for _, c := range children {
		// A console (vc) is one too there.
		if c.Type == "child<chardev-dbus>" || c.Type == "child<chardev-vc>" {
			names = append(names, inventory.Text(c.Name).String())
		}
	}
	return names, nil
}
