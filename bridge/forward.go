package bridge

import (
	"bytes"
	"errors"

	"github.com/go-json-experiment/json/jsontext"

	"qmp-dbus-bridge/bridge/action"
	"qmp-dbus-bridge/bridge/inventory"
	"qmp-dbus-bridge/qmp"
)

// forward runs the request's command and gives the result to done, unless it failed: then the
// request ends with that.
func (r *request) forward(done func(qmp.Reply)) {
	r.start(func(reply qmp.Reply) {
		r.bridge.touch(inventory.TouchedByCommand(r.command.Name))
		done(reply)
	})
}

// forwardShown runs the request's command and answers when the objects show what it did: what it touches, and what
// these queries tell.
func (r *request) forwardShown(also inventory.Set) {
	r.start(func(qmp.Reply) { r.show(also) })
}

// show ends a request whose command was executed, as forwardShown does.
func (r *request) show(also inventory.Set) {
	r.bridge.mirror.refresh(inventory.TouchedByCommand(r.command.Name)|also, r.replyEmpty)
}

// failShown ends a request whose command failed, when the objects show what that did, if anything.
func (r *request) failShown(err error) {
	touched := inventory.TouchedByRefusal(r.command.Name)
	if touched == 0 {
		r.fail(err)
		return
	}
	r.bridge.mirror.refresh(touched, func() { r.fail(err) })
}

// start runs the request's command. Only what was decided is run.
func (r *request) start(done func(qmp.Reply)) {
	if err := r.forwardable(); err != nil {
		r.fail(err)
		return
	}
	r.send(func(reply qmp.Reply) {
		if reply.Err != nil {
			r.refused(reply.Err)
			return
		}
		r.bridge.holdings.Executed(r.monitor, r.command)
		r.noteJobs()
		r.bridge.mirror.learn(r.command)
		done(reply)
	})
}

// refused ends a request whose command failed.
func (r *request) refused(err error) {
	if err = r.refusal(err); err != nil {
		r.failShown(err)
		return
	}
	r.replyEmpty()
}

// refusal is why a command failed, as the method sees it.
func (r *request) refusal(err error) error {
	if refused, isRefused := errors.AsType[*qmp.Error](err); isRefused && r.method.refusal != nil {
		return r.method.refusal(r, refused)
	}
	return err
}

// forwardInto is forwardAs with one argument more, which names what QEMU is to write into. It is for commands whose argument of
// that name is never a caller's.
func (r *request) forwardInto(name, value string, done func(qmp.Reply)) {
	r.forwardAs(withMember(r.decided.Arguments, name, value), done)
}

// forwardAs is start with arguments that differ from the decided ones by a name of the bridge's own and by nothing else. Errors are
// given to done too.
func (r *request) forwardAs(arguments []byte, done func(qmp.Reply)) {
	if err := r.forwardable(); err != nil {
		done(qmp.Reply{Err: err})
		return
	}
	command := r.command
	command.Arguments = arguments
	r.monitor.Start(command, done)
}

// forwardable tells why the request's command can't be run, nil if it can.
func (r *request) forwardable() error {
	switch {
	case !r.isDecided():
		return failuref(errAccessDenied, "%s was not decided", r.command.Name)
	case r.monitor == nil:
		return &failure{errDisconnected, textNoQEMU}
	}
	return nil
}

// withMember is a JSON object, nil being an empty one, with a member in front.
func withMember(object []byte, name, value string) []byte {
	more, _ := jsontext.AppendQuote([]byte("{"), name)
	more, _ = jsontext.AppendQuote(append(more, ':'), value) // what is no UTF-8 is replaced
	if object == nil {
		return append(more, '}')
	}
	return append(append(more, ','), object[1:]...)
}

// isDecided tells whether the command is allowed, and the one that was decided.
func (r *request) isDecided() bool {
	_, denied := r.denied()
	return !denied && r.malformed == nil && r.decision.Action() == action.Command(r.command.Name).String() &&
		r.decided.Name == r.command.Name && bytes.Equal(r.decided.Arguments, r.command.Arguments)
}
