package bridge

import (
	"encoding/json"

	"qmp-dbus-bridge/bridge/action"
	"qmp-dbus-bridge/schema"
	"qmp-dbus-bridge/schema/wire"
)

// arguments are those of a QMP command by their names.
type arguments map[string]any

// objectCommand is a method of an object that is one QMP command. of makes the command's arguments from the object and
// from those of the call, which d reads; what is wrong with the latter is left to the decoder. The call is answered when
// the objects show what the command did. A QEMU that lacks the command is NotSupported.
func objectCommand(name, command string, in []schema.Arg, of func(o *object, d *wire.Decoder) arguments) method {
	return method{
		Method: schema.Method{
			Name: name, In: in,
			Annotations: []schema.Annotation{{Name: schema.AnnotationCommand, Value: command}},
		},
		action:   action.Command(command),
		forwards: true,
		plan:     func(r *request) *schema.Command { return r.bridge.commands().Command(command) },
		parse: func(r *request) error {
			d := r.Decoder()
			return r.setArguments(command, of(r.object, &d), d.Err())
		},
		run: func(r *request) {
			if r.plan == nil {
				r.fail(failuref(errNotSupported, "this QEMU has no command %s", command))
				return
			}
			r.forwardShown(r.object.query)
		},
	}
}

// setArguments makes the request one for a command with these arguments, or reports what was wrong with those of the
// call.
func (r *request) setArguments(command string, a arguments, wrong error) error {
	text, err := json.Marshal(a)
	if err != nil {
		return err
	}
	text, err = schema.Canonical(nil, text, command)
	if wrong != nil {
		err = failuref(errInvalidArgs, "%v", wrong)
	}
	if set := r.setCommand(command, text); err == nil {
		err = set
	}
	return err
}
