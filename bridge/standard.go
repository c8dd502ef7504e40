package bridge

import (
	"os"
	"strings"

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
			action: action.ReadProperties(), parse: parseProperty, run: getProperty,
		},
		{
			Method: schema.Method{
				Name: "GetAll",
				In:   []schema.Arg{{Name: "interface_name", Type: "s"}},
				Out:  []schema.Arg{{Name: "properties", Type: "a{sv}"}},
			},
			action: action.ReadProperties(), parse: parsePropertiesOf, run: getAllProperties,
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
	r.subject = i
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

func getProperty(r *request) {
	p, _ := r.subject.(int)
	r.look(func(o *object) {
		r.reply("v", func(e *wire.Encoder) error {
			o.encodeProperty(e, p)
			return nil
		})
	})
}

func getAllProperties(r *request) {
	i, _ := r.subject.(*iface)
	r.look(func(o *object) {
		r.reply("a{sv}", func(e *wire.Encoder) error {
			o.encodeProperties(e, i)
			return nil
		})
	})
}

// look has f answer with the object as it is at that moment, if it is still there.
func (r *request) look(f func(*object)) {
	m := r.bridge.mirror
	m.look(func(s *state) {
		if o := m.layout.object(s, r.Path); o != nil {
			f(o)
			return
		}
		r.fail(noObject(r.Path))
	})
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
				e.StringBytes(schema.AppendXML(nil, r.object.node()))
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
		action: action.ReadProperties(), run: getManagedObjects,
	}})
}

// getManagedObjects lists the objects below the VM's, with all their properties.
func getManagedObjects(r *request) {
	m := r.bridge.mirror
	m.look(func(s *state) {
		r.reply("a{oa{sa{sv}}}", func(e *wire.Encoder) error {
			e.OpenArray("{oa{sa{sv}}}")
			for _, o := range m.layout.managed(s) {
				e.OpenDictEntry()
				e.ObjectPath(o.path)
				o.encodeInterfaces(e)
				e.CloseDictEntry()
			}
			e.CloseArray()
			return nil
		})
	})
}
