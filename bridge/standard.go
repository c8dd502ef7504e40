package bridge

import (
	"os"
	"slices"
	"strings"

	"qmp-dbus-bridge/bridge/access"
	"qmp-dbus-bridge/bridge/action"
	"qmp-dbus-bridge/schema"
	"qmp-dbus-bridge/schema/wire"
)

const (
	interfaceProperties     = "org.freedesktop.DBus.Properties"
	interfaceIntrospectable = "org.freedesktop.DBus.Introspectable"
	interfacePeer           = "org.freedesktop.DBus.Peer"
	interfaceObjectManager  = "org.freedesktop.DBus.ObjectManager"
)

// standardInterfaces are those that every object has.
func standardInterfaces() []*iface {
	return []*iface{propertiesInterface(), introspectableInterface(), peerInterface()}
}

func propertiesInterface() *iface {
	return newInterface(schema.Interface{
		Name: interfaceProperties,
		Signals: []schema.Signal{{Name: "PropertiesChanged", Args: []schema.Arg{
			{Name: "interface_name", Type: "s"},
			{Name: "changed_properties", Type: "a{sv}"},
			{Name: "invalidated_properties", Type: "as"},
		}}},
	}, []method{
		{
			Method: schema.Method{
				Name: "Get",
				In:   []schema.Arg{{Name: "interface_name", Type: "s"}, {Name: "property_name", Type: "s"}},
				Out:  []schema.Arg{{Name: "value", Type: "v"}},
			},
			action: action.ReadProperties(), asks: asksForProperty, parse: parseReadProperty, run: getProperty,
		},
		{
			Method: schema.Method{
				Name: "GetAll",
				In:   []schema.Arg{{Name: "interface_name", Type: "s"}},
				Out:  []schema.Arg{{Name: "properties", Type: "a{sv}"}},
			},
			action: action.ReadProperties(), asks: asksForSome, parse: parsePropertiesOf, run: getAllProperties,
		},
		{
			Method: schema.Method{Name: "Set", In: []schema.Arg{
				{Name: "interface_name", Type: "s"},
				{Name: "property_name", Type: "s"},
				{Name: "value", Type: "v"},
			}},
			action: action.ReadProperties(), parse: parseProperty, run: setProperty,
		},
	})
}

// parsePropertiesOf finds the interface that the first argument names.
func parsePropertiesOf(r *request) error {
	d := r.Decoder()
	name := d.Bytes()
	if err := d.Err(); err != nil {
		return failuref(errInvalidArgs, "%v", err)
	}
	i := r.object.find(string(name))
	if i == nil {
		return failuref(errUnknownInterface, "%s has no interface %q", r.Path, name)
	}
	r.subject, r.guards = i, i.guards()
	return nil
}

// parseProperty finds the property that the first two arguments name.
func parseProperty(r *request) error {
	d := r.Decoder()
	inInterface, name := d.Bytes(), d.Bytes()
	if err := d.Err(); err != nil {
		return failuref(errInvalidArgs, "%v", err)
	}
	i := r.object.find(string(inInterface))
	if i == nil {
		return failuref(errUnknownInterface, "%s has no interface %q", r.Path, inInterface)
	}
	for p := range i.table.Properties {
		if i.table.Properties[p].Name == string(name) {
			r.subject = p
			return nil
		}
	}
	return failuref(errUnknownProperty, "%s has no property %q", inInterface, name)
}

// parseReadProperty is parseProperty for reading: that is decided by what the property is.
func parseReadProperty(r *request) error {
	err := parseProperty(r)
	if p, found := r.subject.(int); found {
		r.action = readAction(r.object.main.table.Properties[p])
	}
	return err
}

// asksForProperty tells whether the property that the arguments name is asked for.
func asksForProperty(r *request) bool {
	if !asksForSome(r) { // the usual case
		return false
	}
	d := r.Decoder()
	_, name := d.Bytes(), d.Bytes()
	return slices.ContainsFunc(r.object.main.table.Properties, func(p schema.Property) bool { return p.Name == string(name) && isAsked(p) })
}

// asksForSome tells whether any property of the object is asked for.
func asksForSome(r *request) bool { return r.object.main != nil && r.object.main.asks }

func getProperty(r *request) {
	p, _ := r.subject.(int)
	r.lookAfresh(isAsked(r.object.main.table.Properties[p]), func(o *object) error {
		return r.Reply("v", func(e *wire.Encoder) error {
			o.encodeProperty(e, p)
			return nil
		})
	})
}

func getAllProperties(r *request) {
	i, _ := r.subject.(*iface)
	asked := slices.ContainsFunc(i.table.Properties, func(p schema.Property) bool { return isAsked(p) && r.sees(p) })
	r.lookAfresh(asked, func(o *object) error {
		return r.Reply("a{sv}", func(e *wire.Encoder) error {
			o.encodeProperties(e, i, r.sees)
			return nil
		})
	})
}

// look has answer do that with the object as it is at that moment, if it is still there. What ends the request, which may
// begin the next, comes after that moment.
func (r *request) look(answer func(*object) error) {
	m := r.bridge.mirror
	var err error
	m.look(func(s *state) {
		if o := m.layout.object(s, r.Path); o != nil {
			err = answer(o)
		} else {
			err = r.bridge.noObject(r.Path)
		}
	})
	r.end(err)
}

// lookAfresh is look, after QEMU was asked for what the object shows if asked is set.
func (r *request) lookAfresh(asked bool, answer func(*object) error) {
	if !asked {
		r.look(answer)
		return
	}
	r.bridge.mirror.refresh(r.object.query, func() { r.look(answer) })
}

// sees tells whether the caller gets a property when it asks for all.
func (r *request) sees(p schema.Property) bool {
	return isPublic(p) || slices.ContainsFunc(r.wrapped, func(d access.Decision) bool { return d.Action() == guard(p) })
}

func setProperty(r *request) {
	p, _ := r.subject.(int)
	r.fail(failuref(errPropertyReadOnly, "%s can only be read; methods change what it shows", r.object.main.table.Properties[p].Name))
}

func introspectableInterface() *iface {
	return newInterface(schema.Interface{Name: interfaceIntrospectable}, []method{{
		Method: schema.Method{Name: "Introspect", Out: []schema.Arg{{Name: "xml_data", Type: "s"}}},
		action: action.Introspect(),
		run: func(r *request) {
			r.reply("s", func(e *wire.Encoder) error {
				e.StringBytes(schema.AppendXML(nil, r.node()))
				return nil
			})
		},
	}})
}

func peerInterface() *iface {
	return newInterface(schema.Interface{Name: interfacePeer}, []method{
		{Method: schema.Method{Name: "Ping"}, action: action.Introspect(), run: (*request).replyEmpty},
		{
			Method: schema.Method{Name: "GetMachineId", Out: []schema.Arg{{Name: "machine_uuid", Type: "s"}}},
			action: action.Introspect(), run: getMachineID,
		},
	})
}

// machineIDFile is where the machine's id is (machine-id(5)).
const machineIDFile = "/etc/machine-id"

func getMachineID(r *request) {
	id, err := os.ReadFile(machineIDFile)
	if err != nil {
		r.fail(failuref(errFailed, "the machine has no readable id: %v", err))
		return
	}
	r.reply("s", func(e *wire.Encoder) error {
		e.String(strings.TrimSpace(string(id)))
		return nil
	})
}

func objectManagerInterface() *iface {
	objectPath, names := schema.Arg{Name: "object_path", Type: "o"}, schema.Arg{Name: "interfaces", Type: "as"}
	return newInterface(schema.Interface{
		Name: interfaceObjectManager,
		Signals: []schema.Signal{
			{Name: "InterfacesAdded", Args: []schema.Arg{objectPath, {Name: "interfaces_and_properties", Type: "a{sa{sv}}"}}},
			{Name: "InterfacesRemoved", Args: []schema.Arg{objectPath, names}},
		},
	}, []method{{
		Method: schema.Method{
			Name: "GetManagedObjects",
			Out:  []schema.Arg{{Name: "objects", Type: "a{oa{sa{sv}}}"}},
		},
		action: action.ReadProperties(), parse: parseManagedObjects, run: getManagedObjects,
	}})
}

func parseManagedObjects(r *request) error {
	for _, kind := range r.bridge.mirror.layout.kinds {
		if kind != nil {
			r.guards = append(r.guards, kind.main.guards()...)
		}
	}
	return nil
}

// getManagedObjects lists the objects below the VM's, with all their properties that the caller may see.
func getManagedObjects(r *request) {
	m := r.bridge.mirror
	var err error
	m.look(func(s *state) {
		err = r.Reply("a{oa{sa{sv}}}", func(e *wire.Encoder) error {
			e.OpenArray("{oa{sa{sv}}}")
			for _, o := range m.layout.managed(s) {
				e.OpenDictEntry()
				e.ObjectPath(o.path)
				o.encodeInterfaces(e, r.sees)
				e.CloseDictEntry()
			}
			e.CloseArray()
			return nil
		})
	})
	r.end(err)
}
