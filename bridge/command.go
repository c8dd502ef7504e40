package bridge

import (
	"cmp"

	"qmp-dbus-bridge/bridge/action"
	"qmp-dbus-bridge/bridge/fdarg"
	"qmp-dbus-bridge/bridge/fdpass"
	"qmp-dbus-bridge/qmp"
	"qmp-dbus-bridge/schema"
	"qmp-dbus-bridge/schema/wire"
)

const (
	interfaceQMP    = "org.qemu.VM1.QMP"
	interfaceEvents = "org.qemu.VM1.QMP.Events"
	memberOther     = "Other"
	memberLost      = "Lost"
	memberCallJSON  = "CallJson"
)

// qmpInterface has a method for each command of the connected QEMU, and two that run any.
func qmpInterface(known func() *commands) *iface {
	i := newInterface(schema.Interface{Name: interfaceQMP}, append(passingMethods(), []method{
		{
			Method: schema.Method{
				Name: "Call",
				In:   []schema.Arg{{Name: "command", Type: "s"}, {Name: "arguments", Type: "a{sv}"}},
				Out:  []schema.Arg{{Name: "result", Type: "v"}},
			},
			named: true, plan: planNamed, parse: parseCall, forwards: true, refusal: noSuchCommand, run: forwardCall,
		},
		{
			Method: schema.Method{
				Name: memberCallJSON,
				In:   []schema.Arg{{Name: "command", Type: "s"}, {Name: "arguments", Type: "s"}},
				Out:  []schema.Arg{{Name: "result", Type: "s"}},
			},
			named: true, plan: planNamed, parse: parseCallJSON, forwards: true, run: forwardCallJSON,
		},
	}...))
	i.moreMethods = func() map[string]*method { return known().methods }
	return i
}

// eventsInterface describes the signals of the connected QEMU's events.
func eventsInterface(known func() *commands) *iface {
	i := newInterface(schema.Interface{Name: interfaceEvents}, nil)
	i.signals = func() []schema.Signal { return known().Signals() }
	return i
}

// planNamed finds the command that the first argument names.
func planNamed(r *request) *schema.Command {
	d := r.Decoder()
	return r.bridge.commands().Command(string(d.Bytes()))
}

// noSuchCommand adds to QEMU's word that it has no such command the one that was meant.
func noSuchCommand(r *request, refused *qmp.Error) error {
	if r.plan != nil || refused.Class != "CommandNotFound" {
		return refused
	}
	hint := didYouMean(action.Meant(r.command.Name, r.bridge.commands().Commands()), "")
	return &qmp.Error{Class: refused.Class, Desc: refused.Desc + hint}
}

// planOf finds the command that each call of a method is.
func planOf(command string) func(*request) *schema.Command {
	return func(r *request) *schema.Command { return r.bridge.commands().Command(command) }
}

// isCommand is the annotation of a method that is this command.
func isCommand(name string) []schema.Annotation {
	return []schema.Annotation{{Name: schema.AnnotationCommand, Value: name}}
}

// parseCall reads (s command, a{sv} arguments). Which command it is, is known also when the
// arguments are wrong.
func parseCall(r *request) error {
	d := r.Decoder()
	name := d.String()
	r.action = action.Command(name)
	if fdMembers[name] != nil && r.plan != nil {
		return r.setPassing(name, &d, (*fdArguments).dictionary)
	}
	var arguments []byte
	var given []schema.Descriptor
	var err error
	if r.plan != nil {
		arguments, err = r.plan.AppendMembers(nil, &d, &given)
	} else { // for QEMU to refuse
		arguments, err = schema.AppendObject(nil, &d, name)
	}
	return r.setGiven(name, arguments, given, err)
}

// parseCallJSON reads (s command, s arguments). The JSON is parsed and written anew:
// QEMU answers malformed JSON without an id, which nobody could match to the call.
func parseCallJSON(r *request) error {
	d := r.Decoder()
	name, text := d.String(), d.Bytes()
	r.action = action.Command(name)
	if err := d.Err(); err != nil {
		return failuref(errInvalidArgs, "%v", err)
	}
	arguments, err := schema.Canonical(nil, text, name)
	return r.setGiven(name, arguments, nil, err)
}

// setCommand makes the request one for this command, which is yet to be decided.
func (r *request) setCommand(name string, arguments []byte) error {
	if string(arguments) == "{}" {
		arguments = nil
	}
	r.command = qmp.Command{Name: name, OOB: r.outOfBand}
	if most := r.bridge.config.Limits.Arguments; len(arguments) > most {
		return failuref(errLimits, "%s: the arguments are %d bytes of JSON; %d is the most", dbusText(name), len(arguments), most)
	}
	r.command.Arguments = arguments
	return cmp.Or(fdpass.CheckArguments(name, arguments), r.checkNames())
}

// checkNames tells whether the names of descriptors among the command's arguments are ones that the caller may use.
func (r *request) checkNames() error {
	if len(r.placed.Args) > 0 {
		return nil // they were checked as they were written
	}
	return fdarg.Check(r.command.Name, r.command.Arguments, nil, r.bridge.holdings.Names(r.claim.Sender))
}

// setGiven is setCommand for arguments in which descriptors are given for names, unless err tells that there are none.
func (r *request) setGiven(name string, arguments []byte, given []schema.Descriptor, err error) error {
	if err != nil {
		return cmp.Or(err, r.setCommand(name, nil))
	}
	if err := fdarg.Check(name, arguments, given, r.bridge.holdings.Names(r.claim.Sender)); err != nil {
		return cmp.Or(err, r.setCommand(name, nil))
	}
	if r.placed, err = fdarg.Place(name, arguments, given, r.front.FDs()); err != nil {
		return cmp.Or(err, r.setCommand(name, nil))
	}
	return r.setCommand(name, r.placed.Decided)
}

func forwardCall(r *request) {
	r.forward(func(reply qmp.Reply) {
		r.reply("v", func(e *wire.Encoder) error {
			if r.plan == nil {
				return schema.EncodeVariant(e, reply.Return)
			}
			misfits, err := r.plan.EncodeVariant(e, reply.Return)
			r.bridge.noteMisfits(misfits)
			return err
		})
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
