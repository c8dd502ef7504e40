package bridge

import (
	"cmp"
	"encoding/json"
	"fmt"

	"qmp-dbus-bridge/bridge/action"
	"qmp-dbus-bridge/bridge/inventory"
	"qmp-dbus-bridge/qmp"
	"qmp-dbus-bridge/schema"
	"qmp-dbus-bridge/schema/wire"
)

const interfaceQOM = "org.qemu.VM1.QOM"

// The commands that calls of objects of QEMU's tree are.
const (
	qomList = "qom-list"
	qomGet  = "qom-get"
	qomSet  = "qom-set"
)

// qomInterface is what each object of QEMU's tree offers.
func qomInterface() *iface {
	property, value := schema.Arg{Name: "property", Type: "s"}, schema.Arg{Name: "value", Type: "v"}
	return newInterface(schema.Interface{
		Name:       interfaceQOM,
		Properties: []schema.Property{{Name: "Type", Type: "s", EmitsChanged: schema.Const}},
	}, []method{
		askQOM(schema.Method{Name: "Get", In: []schema.Arg{property}, Out: []schema.Arg{value}, Annotations: isCommand(qomGet)},
			qomGet, appendProperty, forwardCall),
		askQOM(schema.Method{Name: "Set", In: []schema.Arg{property, value}, Annotations: isCommand(qomSet)},
			qomSet, appendPropertyAndValue, setQOM),
		askQOM(schema.Method{Name: "List", Out: []schema.Arg{{Name: "properties", Type: "a(ss)"}}, Annotations: isCommand(qomList)},
			qomList, appendNothing, listQOM),
	})
}

// standardQOMInterfaces are the standard ones, where QEMU is asked for what other objects know.
func standardQOMInterfaces() []*iface {
	properties, introspectable := propertiesInterface(), introspectableInterface()
	for _, m := range []struct {
		of      *method
		command string
		more    appender
		run     func(*request)
	}{
		{properties.find("Get"), qomGet, appendType(parseProperty), getQOMType},
		{properties.find("GetAll"), qomGet, appendType(parsePropertiesOf), getAllOfQOM},
		{properties.find("Set"), qomGet, appendType(parseProperty), setProperty},
		{introspectable.find("Introspect"), qomList, appendNothing, introspectQOM},
	} {
		*m.of = askQOM(m.of.Method, m.command, m.more, m.run)
	}
	return []*iface{properties, introspectable, peerInterface()}
}

// appender adds to the arguments of a command, a JSON object that is still open, what the call says. It is one also when
// it comes back with an error.
type appender func(r *request, arguments []byte) ([]byte, error)

// askQOM is a method that is one command about the request's object, and costs QEMU no other.
func askQOM(m schema.Method, command string, more appender, run func(*request)) method {
	return method{
		Method: m, in: m.InSignature(),
		action:   action.Command(command),
		plan:     planOf(command),
		forwards: true,
		parse: func(r *request) error {
			arguments, err := schema.AppendString([]byte(`{"path":`), r.object.qom, command+".path")
			if err == nil {
				arguments, err = more(r, arguments)
			}
			return cmp.Or(err, r.setCommand(command, append(arguments, '}')))
		},
		refusal: noSuchObject,
		run:     run,
	}
}

// noSuchObject tells of an object that QEMU doesn't have: the one of the path, or, where Set sets a link, the one that
// is linked to. QEMU's words say which.
func noSuchObject(_ *request, refused *qmp.Error) error {
	if refused.Class == "DeviceNotFound" {
		return failuref(errUnknownObject, "%s", dbusText(refused.Desc))
	}
	return refused
}

func appendNothing(_ *request, arguments []byte) ([]byte, error) { return arguments, nil }

// appendType has the command ask for the object's type, when what the call asks for is there.
func appendType(parse func(*request) error) appender {
	return func(r *request, arguments []byte) ([]byte, error) {
		return append(arguments, `,"property":"type"`...), parse(r)
	}
}

func appendProperty(r *request, arguments []byte) ([]byte, error) {
	d := r.Decoder()
	return appendMember(arguments, &d, qomGet, "property")
}

func appendPropertyAndValue(r *request, arguments []byte) ([]byte, error) {
	d := r.Decoder()
	all, err := appendMember(arguments, &d, qomSet, "property")
	if err == nil {
		all, err = appendMember(all, &d, qomSet, "value")
	}
	if err != nil {
		return arguments, err
	}
	return all, nil
}

// appendMember appends the value at the decoder as a member of the arguments.
func appendMember(arguments []byte, d *wire.Decoder, command, name string) ([]byte, error) {
	all, err := schema.AppendValue(fmt.Appendf(arguments, `,"%s":`, name), d, command+"."+name)
	if err != nil {
		return arguments, err
	}
	return all, nil
}

func setQOM(r *request) { r.forward(func(qmp.Reply) { r.replyEmpty() }) }

// listQOM answers with all properties of the object: their names and types.
func listQOM(r *request) {
	r.replyProperties("a(ss)", func(e *wire.Encoder, properties []inventory.Property) {
		e.OpenArray("(ss)")
		for _, p := range properties {
			e.OpenStruct()
			e.String(inventory.Text(p.Name).String())
			e.String(inventory.Text(p.Type).String())
			e.CloseStruct()
		}
		e.CloseArray()
	})
}

func introspectQOM(r *request) {
	r.replyProperties("s", func(e *wire.Encoder, properties []inventory.Property) {
		n := r.object.node()
		children, left := r.bridge.qom.children(r.Path, properties)
		r.bridge.noteUnlisted(left)
		n.Children = children
		e.StringBytes(schema.AppendXML(nil, n))
	})
}

// replyProperties ends a request by what fill makes of the object's properties.
func (r *request) replyProperties(signature string, fill func(*wire.Encoder, []inventory.Property)) {
	r.forward(func(reply qmp.Reply) {
		properties, left, err := inventory.ReadProperties(reply.Return)
		r.bridge.noteUnlisted(left)
		r.reply(signature, func(e *wire.Encoder) error {
			if err == nil {
				fill(e, properties)
			}
			return err
		})
	})
}

func getQOMType(r *request) {
	p, _ := r.subject.(int)
	r.replyType("v", func(e *wire.Encoder, o *object) { o.encodeProperty(e, p) })
}

func getAllOfQOM(r *request) {
	i, _ := r.subject.(*iface)
	r.replyType("a{sv}", func(e *wire.Encoder, o *object) { o.encodeProperties(e, i, r.sees) })
}

// replyType ends a request by what fill makes of the object when QEMU has told its type.
func (r *request) replyType(signature string, fill func(*wire.Encoder, *object)) {
	r.forward(func(reply qmp.Reply) {
		r.reply(signature, func(e *wire.Encoder) error {
			var told string
			if err := json.Unmarshal(reply.Return, &told); err != nil {
				return err
			}
			o := *r.object
			o.values = []inventory.Value{inventory.Text(told)}
			fill(e, &o)
			return nil
		})
	})
}

// mayWalkQOM tells whether QEMU's tree is there for the caller.
func (r *request) mayWalkQOM() bool {
	return r.bridge.monitor() != nil && r.bridge.commands().HasCommand(qomList) &&
		r.policy.MayAllow(r.caller, action.Command(qomList))
}

// noteUnlisted logs that QEMU has more in its tree than is shown.
func (b *Bridge) noteUnlisted(n int) {
	if n == 0 {
		return
	}
	if count, doubled := b.unlisted.add(n); doubled {
		b.log.Warn("QEMU's object tree has more than is shown: too many or too long, equal names, or such with a slash", "count", count)
	}
}
