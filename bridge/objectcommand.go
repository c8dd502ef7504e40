package bridge

import (
	"cmp"
	"math"

	"qmp-dbus-bridge/bridge/action"
	"qmp-dbus-bridge/schema"
	"qmp-dbus-bridge/schema/wire"
)

// objectMethod is the objectCommand of one of our own methods, named as in the table of them.
func objectMethod(name string, in []schema.Arg, own func(*object) []schema.Own) method {
	member, command := action.OfMethod(name)
	return objectCommand(member, command, in, own)
}

// objectCommand is a method of an object that is one QMP command. in are the method's arguments: members of the command's,
// by their names, and an a{sv} at the end for others. own are those that follow from the object; may be nil. Both are checked as
// those of the command's typed method are. The call is answered when the objects show what the command did. A QEMU that
// lacks the command or one of those members is NotSupported.
func objectCommand(name, command string, in []schema.Arg, own func(*object) []schema.Own) method {
	return method{
		Method:   schema.Method{Name: name, In: in, Annotations: isCommand(command)},
		action:   action.Command(command),
		forwards: true,
		plan:     planOf(command),
		parse:    func(r *request) error { return r.parseOwn(command, own) },
		run:      func(r *request) { r.forwardShown(r.object.query) },
	}
}

// parseOwn makes the arguments of a command of those of the call and of own.
func (r *request) parseOwn(command string, own func(*object) []schema.Own) error {
	var members []schema.Own
	if own != nil {
		members = own(r.object)
	}
	d := r.Decoder()
	return r.setOwn(command, &d, r.method.In, members)
}

// setOwn makes the request one for a command, whose arguments are in, which d reads, and own.
func (r *request) setOwn(command string, d *wire.Decoder, in []schema.Arg, own []schema.Own) error {
	if r.plan == nil {
		return r.lacking(command)
	}
	start := *d
	arguments, err := r.plan.AppendMethod(nil, d, in, nil, own...)
	return cmp.Or(err, r.setCommand(command, arguments), inRange(start, command, in))
}

// inRange refuses arguments of type t, which ours have where a number can't be negative, that QEMU can't hold: its are signed.
func inRange(d wire.Decoder, command string, in []schema.Arg) error {
	for _, arg := range in {
		if arg.Type != "t" {
			d.Skip()
			continue
		}
		if n := d.Uint64(); n > math.MaxInt64 {
			return failuref(errInvalidArgs, "%s.%s: %d is out of range: from 0 to %d", command, arg.Name, n, math.MaxInt64)
		}
	}
	return nil
}

// lacking makes the request one for a command that QEMU lacks: what would be executed has no arguments that a policy could
// know.
func (r *request) lacking(command string) error {
	return cmp.Or(r.setCommand(command, nil), error(noCommand(command)))
}

func noCommand(name string) *failure {
	return failuref(errNotSupported, "this QEMU has no command %s", name)
}

// answering is a method that answers with out, as run does it.
func answering(m method, out schema.Arg, run func(*request)) method {
	m.Out, m.run = []schema.Arg{out}, run
	return m
}
