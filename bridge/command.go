package bridge

import (
	"qmp-dbus-bridge/bridge/access"
	"qmp-dbus-bridge/qmp"
	"qmp-dbus-bridge/schema"
	"qmp-dbus-bridge/schema/wire"
)

const (
	interfaceQMP    = "org.qemu.VM1.QMP"
	interfaceEvents = "org.qemu.VM1.QMP.Events"
	memberOther     = "Other"
	memberLost      = "Lost"
)

// qmpInterface runs any command of QEMU.
func qmpInterface() *iface {
	return newInterface(schema.Interface{Name: interfaceQMP}, []method{
		{
			Method: schema.Method{
				Name: "Call",
				In:   []schema.Arg{{Name: "command", Type: "s"}, {Name: "arguments", Type: "a{sv}"}},
				Out:  []schema.Arg{{Name: "result", Type: "v"}},
			},
			parse: parseCall, forwards: true, run: forwardCall,
		},
		{
			Method: schema.Method{
				Name: "CallJson",
				In:   []schema.Arg{{Name: "command", Type: "s"}, {Name: "arguments", Type: "s"}},
				Out:  []schema.Arg{{Name: "result", Type: "s"}},
			},
			parse: parseCallJSON, forwards: true, run: forwardCallJSON,
		},
	})
}

// eventsInterface describes the signals of the connected QEMU's events.
func eventsInterface(catalogue func() *schema.Catalogue) *iface {
	i := newInterface(schema.Interface{Name: interfaceEvents}, nil)
	i.signals = func() []schema.Signal { return catalogue().Signals() }
	return i
}

// parseCall reads (s command, a{sv} arguments). Which command it is, is known also when the
// arguments are wrong.
func parseCall(r *request) error {
	d := r.Decoder()
	name := d.String()
	r.action = access.Command(name)
	arguments, err := schema.AppendObject(nil, &d, name)
	r.setCommand(name, arguments)
	return err
}

// parseCallJSON reads (s command, s arguments). The JSON is parsed and written anew:
// QEMU answers malformed JSON without an id, which nobody could match to the call.
func parseCallJSON(r *request) error {
	d := r.Decoder()
	name, text := d.String(), d.Bytes()
	r.action = access.Command(name)
	if err := d.Err(); err != nil {
		return failuref(errInvalidArgs, "%v", err)
	}
	arguments, err := schema.Canonical(nil, text, name)
	r.setCommand(name, arguments)
	return err
}

// setCommand makes the request one for this command, which is yet to be decided.
func (r *request) setCommand(name string, arguments []byte) {
	if string(arguments) == "{}" {
		arguments = nil
	}
	r.command = qmp.Command{Name: name, Arguments: arguments}
}

func forwardCall(r *request) {
	r.forward(func(reply qmp.Reply) {
		r.reply("v", func(e *wire.Encoder) error { return schema.EncodeVariant(e, reply.Return) })
	})
}

func forwardCallJSON(r *request) {
	r.forward(func(reply qmp.Reply) {
		r.reply("s", func(e *wire.Encoder) error {
			e.StringBytes(schema.Text(reply.Return))
			return nil
		})
	})
}
