package bridge

import (
	"qmp-dbus-bridge/schema/wire"
)

// encodeProperty writes the value of a property of the main interface as a variant.
func (o *object) encodeProperty(e *wire.Encoder, p int) {
	signature := o.main.table.Properties[p].Type
	e.OpenVariant(signature)
	o.values[p].Encode(e, signature)
	e.CloseVariant()
}

// encodeProperties writes all properties of an interface of the object as a{sv}.
func (o *object) encodeProperties(e *wire.Encoder, i *iface) {
	o.encodeSome(e, i, func(int) bool { return true })
}

// encodeSome writes the properties that wanted picks as a{sv}.
func (o *object) encodeSome(e *wire.Encoder, i *iface, wanted func(p int) bool) {
	e.OpenArray("{sv}")
	for p := range i.table.Properties {
		if !wanted(p) {
			continue
		}
		e.OpenDictEntry()
		e.String(i.table.Properties[p].Name)
		o.encodeProperty(e, p)
		e.CloseDictEntry()
	}
	e.CloseArray()
}

// encodeInterfaces writes all interfaces of an object with their properties, a{sa{sv}}.
func (o *object) encodeInterfaces(e *wire.Encoder) {
	e.OpenArray("{sa{sv}}")
	for _, i := range o.interfaces {
		e.OpenDictEntry()
		e.String(i.name())
		o.encodeProperties(e, i)
		e.CloseDictEntry()
	}
	e.CloseArray()
}

// announceChanged signals the properties that differ between two moments of an object.
func (b *Bridge) announceChanged(before, now *object) error {
	changed := func(p int) bool { return before.values[p] != now.values[p] }
	return b.signal("", now.path, interfaceProperties, "PropertiesChanged", "sa{sv}as", func(e *wire.Encoder) error {
		e.String(now.main.name())
		now.encodeSome(e, now.main, changed)
		e.OpenArray("s")
		e.CloseArray()
		return nil
	})
}

// announceAdded signals an object that is new.
func (b *Bridge) announceAdded(o *object) error {
	return b.signal("", b.paths.vm, interfaceObjectManager, "InterfacesAdded", "oa{sa{sv}}", func(e *wire.Encoder) error {
		e.ObjectPath(o.path)
		o.encodeInterfaces(e)
		return nil
	})
}

// announceRemoved signals that an object has gone.
func (b *Bridge) announceRemoved(o *object) error {
	return b.signal("", b.paths.vm, interfaceObjectManager, "InterfacesRemoved", "oas", func(e *wire.Encoder) error {
		e.ObjectPath(o.path)
		e.OpenArray("s")
		for _, i := range o.interfaces {
			e.String(i.name())
		}
		e.CloseArray()
		return nil
	})
}
