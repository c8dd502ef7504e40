package main

import (
	"fmt"
	"strings"

	"qmp-dbus-bridge/schema/wire"
)

// verify checks once that the bridge answers what is asked: the machine is running.
func verify(b *bus) error {
	for _, check := range []struct {
		name      string
		call      *request
		signature string
		right     func(d *wire.Decoder) bool
	}{
		{"Get", statusGet(), "v", func(d *wire.Decoder) bool {
			d.Enter()
			return d.String() == "running"
		}},
		{"Call", qmpCall("query-status"), "v", func(d *wire.Decoder) bool {
			d.Enter()
			return hasStatus(d)
		}},
		{"CallJson", qmpCallJSON("query-status"), "s", func(d *wire.Decoder) bool {
			return strings.Contains(d.String(), `"running"`)
		}},
	} {
		if _, err := b.send(check.call); err != nil {
			return err
		}
		reply, err := b.reply()
		if err != nil {
			return fmt.Errorf("%s: %w", check.name, err)
		}
		m, err := wire.ParseMessage(reply)
		if err != nil {
			return fmt.Errorf("%s: %w", check.name, err)
		}
		d := m.Decoder()
		if m.Signature != check.signature || !check.right(&d) || d.Err() != nil {
			return fmt.Errorf("%s: unexpected reply %q", check.name, reply)
		}
	}
	return nil
}

// hasStatus looks in an a{sv} for the run state.
func hasStatus(d *wire.Decoder) bool {
	for d.Enter(); d.More(); d.Exit() {
		d.Enter()
		if d.String() != "status" {
			continue
		}
		d.Enter()
		return d.String() == "running"
	}
	return false
}
