package bridge

import (
	"qmp-dbus-bridge/schema"
	"qmp-dbus-bridge/schema/wire"
)

// property is one property: its description, and how it comes out of the state.
type property struct {
	schema.Property
	text func(*state) string // of type s
	flag func(*state) bool   // of type b, where text is nil
}

// textProperty describes a property of type s that changes are signalled of.
func textProperty(name string, of func(*state) string) property {
	return property{Property: schema.Property{Name: name, Type: "s"}, text: of}
}

// flagProperty describes a property of type b that changes are signalled of.
func flagProperty(name string, of func(*state) bool) property {
	return property{Property: schema.Property{Name: name, Type: "b"}, flag: of}
}

// encode writes the property's value as a variant.
func (p *property) encode(e *wire.Encoder, s *state) {
	e.OpenVariant(p.Type)
	if p.text != nil {
		e.String(p.text(s))
	} else {
		e.Bool(p.flag(s))
	}
	e.CloseVariant()
}

func (p *property) differs(a, b *state) bool {
	if p.text != nil {
		return p.text(a) != p.text(b)
	}
	return p.flag(a) != p.flag(b)
}

// encodeProperties writes all properties of an interface as a{sv}.
func (i *iface) encodeProperties(e *wire.Encoder, s *state) {
	i.encodeSome(e, s, func(*property) bool { return true })
}

// encodeSome writes the properties that wanted picks as a{sv}.
func (i *iface) encodeSome(e *wire.Encoder, s *state, wanted func(*property) bool) {
	e.OpenArray("{sv}")
	for p := range i.properties {
		if !wanted(&i.properties[p]) {
			continue
		}
		e.OpenDictEntry()
		e.String(i.properties[p].Name)
		i.properties[p].encode(e, s)
		e.CloseDictEntry()
	}
	e.CloseArray()
}

// encodeInterfaces writes all interfaces of an object with their properties, a{sa{sv}}.
func (o *object) encodeInterfaces(e *wire.Encoder, s *state) {
	e.OpenArray("{sa{sv}}")
	for _, i := range o.interfaces {
		e.OpenDictEntry()
		e.String(i.name())
		i.encodeProperties(e, s)
		e.CloseDictEntry()
	}
	e.CloseArray()
}

// publish signals the properties of an interface that differ between two states.
func (b *Bridge) publish(path string, i *iface, before, now *state) error {
	changed := func(p *property) bool { return p.differs(before, now) }
	return b.signal("", path, interfaceProperties, "PropertiesChanged", "sa{sv}as", func(e *wire.Encoder) error {
		e.String(i.name())
		i.encodeSome(e, now, changed)
		e.OpenArray("s")
		e.CloseArray()
		return nil
	})
}
