package goqemu

import (
	"context"
	"strings"

	"github.com/godbus/dbus/v5"
)

// busItself is the bus's own name, and interface.
const busItself = "org.freedesktop.DBus"

// signalsWaiting is how many signals may wait between godbus and us on a connection of the caller's; for each one more godbus starts a
// goroutine or, with a sequential handler, keeps it. We take them at once, whoever reads the events.
const signalsWaiting = 64

// listen has signals come by a channel, on a connection of the caller's.
func (b *bus) listen(context.Context) error {
	b.signals = make(chan *dbus.Signal, signalsWaiting)
	b.conn.Signal(b.signals)
	b.session.start(func() {
		for {
			select {
			case s, more := <-b.signals:
				if !more {
					b.Terminate()
					return
				}
				b.take(s)
			case <-b.conn.Context().Done():
				b.Terminate()
				return
			case <-b.session.ctx.Done():
				return
			}
		}
	})
	return nil
}

// DeliverSignal is called by the reader of a connection of ours, for each signal in its turn. It does not block.
func (b *bus) DeliverSignal(_, _ string, s *dbus.Signal) { b.take(s) }

// Terminate is called when the connection has ended.
func (b *bus) Terminate() { b.settle("") }

// take looks at a signal, which may be anybody's: the sender is what the bus says, so it is what counts.
func (b *bus) take(s *dbus.Signal) {
	switch {
	case s.Sender == busItself && s.Name == busItself+".NameOwnerChanged":
		var name, before, now string
		if dbus.Store(s.Body, &name, &before, &now) == nil && name == b.options.BusName {
			b.settle(now)
		}
	case s.Path == b.qmpPath() && b.isOwner(s.Sender) && b.session.watched():
		if member, found := strings.CutPrefix(s.Name, eventsInterface+"."); found {
			b.takeEvent(member, s.Body)
		}
	}
}

// settle notes who the bridge is from now on. The events of the one before are over.
func (b *bus) settle(owner string) {
	b.mu.Lock()
	changed := b.owner != owner
	b.owner, b.ownerTold = owner, true
	b.mu.Unlock()
	if changed {
		b.session.end()
	}
}

func (b *bus) isOwner(sender string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return sender != "" && sender == b.owner
}

// present is an error while there is no bridge. Who leaves later ends the streams that there are by then.
func (b *bus) present() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.owner == "" {
		return fromBus(dbus.Error{Name: "org.freedesktop.DBus.Error.NameHasNoOwner", Body: []any{"there is no bridge on the bus now"}})
	}
	return nil
}

// takeEvent tells an event. What is not as the bridge makes it counts as lost.
func (b *bus) takeEvent(member string, body []any) {
	var (
		e     = event{member: member}
		data  map[string]dbus.Variant
		count uint64
		err   error
	)
	switch member {
	case "Lost":
		if err = dbus.Store(body, &count); err == nil {
			e = lostEvents(count)
		}
	case "Other":
		err = dbus.Store(body, &e.name, &data, &e.timestamp)
	default:
		err = dbus.Store(body, &data, &e.timestamp)
	}
	if err == nil && e.lost == 0 {
		e.data, err = eventData(data)
	}
	if err != nil {
		e = lostEvents(1)
	}
	b.session.tell(e)
}
