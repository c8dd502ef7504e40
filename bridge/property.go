package bridge

import (
	"cmp"

	"qmp-dbus-bridge/bridge/action"
	"qmp-dbus-bridge/schema"
	"qmp-dbus-bridge/schema/wire"
)

// guard is the command that whoever reads a property must be allowed, empty if that is all who may read properties.
func guard(p schema.Property) string {
	for _, a := range p.Annotations {
		if a.Name == schema.AnnotationCommand {
			return a.Value
		}
	}
	return ""
}

// readAction is what is decided when a property is read by its name.
func readAction(p schema.Property) action.Action {
	if command := guard(p); command != "" {
		return action.Command(command)
	}
	return action.ReadProperties()
}

// isPublic tells whether a property is for all who may read properties, so that a broadcast may have it.
func isPublic(p schema.Property) bool { return guard(p) == "" }

// isAsked tells whether QEMU is asked for a property when that is read, since no event tells of its changes.
func isAsked(p schema.Property) bool { return p.EmitsChanged == schema.Never }

// encodeProperty writes the value of a property of the main interface as a variant.
func (o *object) encodeProperty(e *wire.Encoder, p int) {
	signature := o.main.table.Properties[p].Type
	e.OpenVariant(signature)
	o.values[p].Encode(e, signature)
	e.CloseVariant()
}

// encodeProperties writes those properties of an interface of the object that sees picks as a{sv}.
func (o *object) encodeProperties(e *wire.Encoder, i *iface, sees func(schema.Property) bool) {
	o.encodeSome(e, i, func(p int) bool { return sees(i.table.Properties[p]) })
}

// encodeSome writes the properties that wanted picks, by their index, as a{sv}.
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

// encodeInterfaces writes all interfaces of an object with those of their properties that sees picks, a{sa{sv}}.
func (o *object) encodeInterfaces(e *wire.Encoder, sees func(schema.Property) bool) {
	e.OpenArray("{sa{sv}}")
	for _, i := range o.interfaces {
		e.OpenDictEntry()
		e.String(i.name())
		o.encodeProperties(e, i, sees)
		e.CloseDictEntry()
	}
	e.CloseArray()
}

// announceChanged signals the properties that differ between two moments of an object, each as its annotation
// says.
func (b *Bridge) announceChanged(before, now *object) error {
	differs := func(p int, how schema.EmitsChanged) bool {
		return before.values[p] != now.values[p] && cmp.Or(now.main.table.Properties[p].EmitsChanged, schema.Always) == how
	}
	var invalidated []string
	changed := false
	for p := range now.values {
		changed = changed || differs(p, schema.Always)
		if differs(p, schema.Invalidates) {
			invalidated = append(invalidated, now.main.table.Properties[p].Name)
		}
	}
	if !changed && invalidated == nil {
		return nil
	}
	return b.signal("", now.path, interfaceProperties, "PropertiesChanged", "sa{sv}as", func(e *wire.Encoder) error {
		e.String(now.main.name())
		now.encodeSome(e, now.main, func(p int) bool { return differs(p, schema.Always) })
		e.OpenArray("s")
		for _, name := range invalidated {
			e.String(name)
		}
		e.CloseArray()
		return nil
	})
}

// announceAdded signals an object that is new.
func (b *Bridge) announceAdded(o *object) error {
	return b.signal("", b.paths.vm, interfaceObjectManager, "InterfacesAdded", "oa{sa{sv}}", func(e *wire.Encoder) error {
		e.ObjectPath(o.path)
		o.encodeInterfaces(e, isPublic)
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
