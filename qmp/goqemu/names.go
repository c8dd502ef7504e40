package goqemu

import (
	"context"
	"encoding/xml"
	"fmt"
	"strings"

	"github.com/godbus/dbus/v5/introspect"
)

// eventNames has the QMP names of events by the members of their signals.
type eventNames map[string]string

// eventNames reads them from the bridge's introspection.
func (b *bus) eventNames(ctx context.Context) (eventNames, error) {
	call := b.call(ctx, b.qmpPath(), "org.freedesktop.DBus.Introspectable.Introspect")
	if call.Err != nil {
		return nil, fromBus(call.Err)
	}
	var text string
	var node introspect.Node
	err := call.Store(&text)
	if err == nil {
		err = xml.Unmarshal([]byte(text), &node)
	}
	if err != nil {
		return nil, fmt.Errorf("introspection of %s: %w", b.qmpPath(), err)
	}
	names := eventNames{}
	for _, i := range node.Interfaces {
		if i.Name != eventsInterface {
			continue
		}
		for _, s := range i.Signals {
			names.add(s)
		}
	}
	return names, nil
}

func (n eventNames) add(s introspect.Signal) {
	for _, a := range s.Annotations {
		if a.Name == "org.qemu.VM1.QMP.EventName" {
			n[s.Name] = a.Value
		}
	}
}

// of gives the QMP name for a member. One that was not in the introspection, because the bridge has got another QEMU
// since, is written as QMP would: DeviceDeleted is DEVICE_DELETED.
func (n eventNames) of(member string) string {
	if name, known := n[member]; known {
		return name
	}
	var b strings.Builder
	for i, c := range member {
		if i > 0 && 'A' <= c && c <= 'Z' {
			b.WriteByte('_')
		}
		b.WriteRune(c)
	}
	return strings.ToUpper(b.String())
}
