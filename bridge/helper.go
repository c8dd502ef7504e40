package bridge

import (
	"errors"
	"fmt"

	"qmp-dbus-bridge/bridge/access"
	"qmp-dbus-bridge/bridge/endpoint"
	"qmp-dbus-bridge/bridge/helper"
	"qmp-dbus-bridge/bridge/inventory"
	"qmp-dbus-bridge/schema"
	"qmp-dbus-bridge/schema/wire"
)

// helperKind is how helpers are shown, whether there is a QEMU or not.
var helperKind = &inventory.Kind{Name: "helper", Interface: "org.qemu.VM1.Helper", Properties: []schema.Property{
	{Name: "Id", Type: "s"},
	{Name: "BusName", Type: "s"},
	{Name: "UID", Type: "u"},
	{Name: "Migratable", Type: "b"},
}}

// showHelpers has the bus see these.
func (b *Bridge) showHelpers(list []helper.Helper) {
	var told inventory.Reading
	for _, h := range list {
		told.Items = append(told.Items, inventory.Item{
			ID: h.Unique, Element: h.Element,
			Values: []inventory.Value{
				inventory.Text(h.ID), inventory.Text(h.BusName), inventory.Number(uint64(h.UID)), inventory.Flag(h.ID != ""),
			},
		})
	}
	b.mirror.showHelpers(told)
}

// helperBus is the bus as helpers are followed on it: over the seat, whose questions hold up nothing and whose answers are
// parsed as callers' messages are, and by what is known of callers.
type helperBus struct{ *Bridge }

const (
	busDriver     = "org.freedesktop.DBus"
	busDriverPath = "/org/freedesktop/DBus"
	errNoOwner    = endpoint.ErrorReply("org.freedesktop.DBus.Error.NameHasNoOwner")
	errBusDenies  = endpoint.ErrorReply("org.freedesktop.DBus.Error.AccessDenied")
)

var errNotJoined = errors.New("there is no bus yet")

// Queue implements helper.Bus.
func (b helperBus) Queue(done func([]string, error)) error {
	q := endpoint.Question{
		Destination: busDriver, Path: busDriverPath, Interface: busDriver, Member: "ListQueuedOwners",
		Signature: "s", Fill: texts(helper.VMStateName),
	}
	return b.ask(q, func(m *wire.Message, err error) {
		switch {
		case errors.Is(err, errNoOwner):
			done(nil, nil)
		case err != nil:
			done(nil, err)
		default:
			done(readQueue(m))
		}
	})
}

// readQueue reads an answer to ListQueuedOwners, up to one more than are looked at.
func readQueue(m *wire.Message) (names []string, err error) {
	if m.Signature != "as" {
		return nil, fmt.Errorf("the bus's answer is %q, no list of names", m.Signature)
	}
	d := m.Decoder()
	for d.Enter(); d.More() && len(names) <= helper.MaxSeen; {
		names = append(names, d.String())
	}
	return names, d.Err()
}

// ID implements helper.Bus.
func (b helperBus) ID(unique string, done func(string, error)) error {
	q := endpoint.Question{
		Destination: unique, Path: helper.VMStatePath, Interface: interfaceProperties, Member: "Get",
		Signature: "ss", Fill: texts(helper.VMStateName, "Id"),
	}
	return b.ask(q, func(m *wire.Message, err error) {
		switch {
		case errors.Is(err, errBusDenies):
			done("", helper.ErrDenied)
		case err != nil:
			done("", err)
		default:
			done(readID(m))
		}
	})
}

var errNoID = errors.New("it is no text")

// readID reads a helper's answer, which may be anything.
func readID(m *wire.Message) (string, error) {
	if m.Signature != "v" {
		return "", errNoID
	}
	d := m.Decoder()
	if d.Enter(); d.Kind() != 's' {
		return "", errNoID
	}
	id := d.Bytes()
	if len(id) > helper.MaxID {
		return "", fmt.Errorf("it has %d bytes, over %d", len(id), helper.MaxID)
	}
	return string(id), d.Err()
}

// UID implements helper.Bus.
func (b helperBus) UID(unique string, ready func()) (uint32, error) {
	caller, err := b.callers.Lookup(unique, ready)
	switch {
	case errors.Is(err, access.ErrPending):
		return 0, helper.ErrPending
	case err != nil:
		return 0, err
	}
	return caller.UID, nil
}

// Owners implements helper.Bus.
func (b helperBus) Owners() map[string][]string { return b.callers.Owners(helper.NamePrefix) }

// ask asks over the seat.
func (b helperBus) ask(q endpoint.Question, done func(*wire.Message, error)) error {
	seat := b.seat.Load()
	if seat == nil {
		return errNotJoined
	}
	return seat.Ask(q, done)
}

// texts writes strings.
func texts(list ...string) func(*wire.Encoder) error {
	return func(e *wire.Encoder) error {
		for _, text := range list {
			e.String(text)
		}
		return nil
	}
}
