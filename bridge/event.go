package bridge

import (
	"errors"
	"net"

	"qmp-dbus-bridge/bridge/action"
	"qmp-dbus-bridge/bridge/endpoint"
	"qmp-dbus-bridge/bridge/inventory"
	"qmp-dbus-bridge/qmp"
	"qmp-dbus-bridge/schema/wire"
)

// eventSignature is that of every event's signal: data and time in microseconds.
const eventSignature = "a{sv}x"

// onEvent is called by the QMP reader for every event, and does not block.
func (b *Bridge) onEvent(ev qmp.Event) {
	b.sessions.hear(ev)
	b.emitEvent(ev)
	if note := inventory.JobEvent(ev.Name, ev.Data, ev.Timestamp); note != nil {
		b.mirror.enter(note)
	}
	b.mirror.hear(ev, b.unplugs.heard(ev))
	b.holdings.Heard(b.monitor(), ev.Name)
}

// touch has the state follow what a command may have changed.
func (b *Bridge) touch(queries inventory.Set) {
	if queries != 0 {
		b.mirror.refresh(queries, nil)
	}
}

// emitEvent sends an event as a signal: to everybody if it holds nothing sensitive,
// otherwise to those who asked for it and may have it.
func (b *Bridge) emitEvent(ev qmp.Event) {
	if action.EventClass(ev.Name) == action.ClassRead {
		b.signalEvent("", ev)
		return
	}
	for _, name := range b.subscriptions.to(ev.Name) {
		b.signalEvent(name, ev)
	}
}

// signalEvent sends one event to one destination, or to all where that is empty.
func (b *Bridge) signalEvent(destination string, ev qmp.Event) {
	b.losses.tell()
	err := b.eventSignal(destination, ev, func(e *wire.Encoder) error {
		misfits, err := b.commands().EncodeEvent(e, ev.Name, ev.Data)
		b.noteMisfits(misfits)
		return err
	})
	if err != nil && !errors.Is(err, endpoint.ErrFull) && !errors.Is(err, net.ErrClosed) {
		// D-Bus can't carry the data, say, nested too deep.
		if count, doubled := b.texts.add(1); doubled {
			b.log.Warn("an event was sent as JSON text, because D-Bus can't carry its data", "count", count)
		}
		err = b.eventSignal(destination, ev, func(e *wire.Encoder) error { return encodeAsJSON(e, ev.Data) })
	}
	if err != nil {
		b.losses.add()
	}
}

func (b *Bridge) eventSignal(destination string, ev qmp.Event, data func(*wire.Encoder) error) error {
	member, _ := b.commands().EventSignal(ev.Name)
	signature, other := eventSignature, member == ""
	if other {
		member, signature = memberOther, "s"+eventSignature
	}
	return b.signal(destination, b.paths.qmp, interfaceEvents, member, signature, func(e *wire.Encoder) error {
		if other {
			e.String(dbusText(ev.Name))
		}
		if err := data(e); err != nil {
			return err
		}
		e.Int64(ev.Timestamp)
		return nil
	})
}

// encodeAsJSON writes {"json": text}, the form of data that D-Bus can't carry.
func encodeAsJSON(e *wire.Encoder, data []byte) error {
	e.OpenArray("{sv}")
	e.OpenDictEntry()
	e.String("json")
	e.OpenVariant("s")
	e.String(dbusText(string(data)))
	e.CloseVariant()
	e.CloseDictEntry()
	e.CloseArray()
	return nil
}
