package schema

import (
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"qmp-dbus-bridge/schema/wire"
)

type event struct {
	name                 string
	member               string // "" if its member name can't be had
	data                 *qtype
	deprecated, unstable bool
}

// Events returns the names of all events, sorted. The caller may keep it.
func (t *Table) Events() []string {
	names := make([]string, len(t.events))
	for i, e := range t.events {
		names[i] = e.name
	}
	return names
}

// HasEvent reports whether QEMU has the event.
func (t *Table) HasEvent(name string) bool { return t.event(name) != nil }

// EventSignal returns the member of an event's signal. Without one the event is
// sent as the signal Other: QEMU doesn't list it, or the bridge or another event
// has its member, or D-Bus can't have it.
func (t *Table) EventSignal(name string) (member string, found bool) {
	e := t.event(name)
	if e == nil {
		return "", false
	}
	return e.member, e.member != ""
}

// EncodeEvent appends an event's data to e as a{sv}, typed by the schema, as
// [Command.EncodeResult] does; no bytes at all are the empty object. The data of
// an event that QEMU doesn't list is typed by what it is, and data that is no
// object becomes the member data of one.
func (t *Table) EncodeEvent(e *wire.Encoder, name string, data []byte) (Misfits, error) {
	if len(data) == 0 {
		data = []byte("{}")
	}
	d, err := parseDocument(data)
	if err != nil {
		return Misfits{}, err
	}
	defer d.release()
	r := result{document: d, encoder: e, root: name}
	switch ev := t.event(name); {
	case d.kind(0) != jsontext.KindBeginObject:
		r.wrapped()
	case ev == nil:
		r.dict(0)
	default:
		r.record(ev.data, 0)
	}
	return r.misfits, e.Err()
}

// wrapped writes an event's data that is no object as a member called data.
func (r *result) wrapped() {
	r.misfit(&qtype{kind: kindObject}, 0)
	r.encoder.OpenArray("{sv}")
	r.encoder.OpenDictEntry()
	r.encoder.String("data")
	r.variant(0)
	r.encoder.CloseDictEntry()
	r.encoder.CloseArray()
}

func (t *Table) event(name string) *event {
	i, found := slices.BinarySearchFunc(t.events, name, func(e event, name string) int {
		return strings.Compare(e.name, name)
	})
	if !found {
		return nil
	}
	return &t.events[i]
}

// nameEvents sorts the events and takes the member from all but the first of
// those that share one.
func (t *Table) nameEvents() {
	slices.SortStableFunc(t.events, func(a, b event) int { return strings.Compare(a.name, b.name) })
	t.events = slices.CompactFunc(t.events, func(a, b event) bool { return a.name == b.name })
	taken := make(map[string]bool, len(t.events))
	for _, member := range reserved {
		taken[member] = true
	}
	for i := range t.events {
		e := &t.events[i]
		if taken[e.member] {
			e.member = ""
		}
		taken[e.member] = true
	}
}
