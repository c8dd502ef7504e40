package bridge

import (
	"fmt"

	"qmp-dbus-bridge/qmp"
	"qmp-dbus-bridge/schema"
	"qmp-dbus-bridge/schema/wire"
)

// fdMember is what the descriptor itself is called in Call, as a member of D-Bus type h.
const fdMember = "fd"

// fdMembers are the members of the commands that take a descriptor, and the D-Bus types of each.
var fdMembers = map[string]map[string]string{
	"getfd":  {"fdname": "s", fdMember: "h"},
	"add-fd": {"fdset-id": "ynqiuxt", "opaque": "s", fdMember: "h"},
}

// fdArguments are those of such a command.
type fdArguments struct {
	options
	json []byte // of all but the descriptor, without the brace at the end
}

func newFDArguments(command string) *fdArguments {
	f := &fdArguments{json: []byte{'{'}}
	f.options = options{place: command, types: fdMembers[command], take: f.add}
	return f
}

// add takes one in.
func (f *fdArguments) add(name, place string, d *wire.Decoder) (err error) {
	if name == fdMember {
		d.UnixFD() // there is one; see setPassing
		return nil
	}
	if len(f.json) > 1 {
		f.json = append(f.json, ',')
	}
	f.json, err = schema.AppendValue(fmt.Appendf(f.json, "%q:", name), d, place)
	return err
}

// setPassing makes the request one for such a command, whose arguments read reads.
func (r *request) setPassing(command string, d *wire.Decoder, read func(*fdArguments, *wire.Decoder) error) error {
	f := newFDArguments(command)
	err := read(f, d)
	switch n := len(r.front.FDs()); {
	case err != nil:
	case !f.seen[fdMember]:
		err = failuref(errInvalidArgs, "%s: the descriptor is given as %s, of D-Bus type h", command, fdMember)
	case n != 1:
		err = failuref(errInvalidArgs, "%s: the message has %d file descriptors, and takes one", command, n)
	default:
		return r.setCommand(command, append(f.json, '}'))
	}
	return r.setGiven(command, nil, nil, err)
}

// passingMethods are the typed ones of the commands that take a descriptor.
func passingMethods() []method {
	getfd := objectCommand("Getfd", "getfd", []schema.Arg{{Name: "fdname", Type: "s"}, {Name: "fd", Type: "h"}}, nil)
	getfd.parse, getfd.run = parsePassing("getfd", (*fdArguments).getfd), forwardPassing
	addFD := objectCommand("AddFd", "add-fd", []schema.Arg{{Name: "fd", Type: "h"}, {Name: "options", Type: "a{sv}"}}, nil)
	addFD.parse = parsePassing("add-fd", (*fdArguments).addFD)
	return []method{getfd, answering(addFD, schema.Arg{Name: "result", Type: "a{sv}"}, forwardPassing)}
}

func parsePassing(command string, read func(*fdArguments, *wire.Decoder) error) func(*request) error {
	return func(r *request) error {
		if r.plan == nil {
			return r.lacking(command)
		}
		d := r.Decoder()
		return r.setPassing(command, &d, read)
	}
}

// getfd reads (s fdname, h fd).
func (f *fdArguments) getfd(d *wire.Decoder) error {
	if err := f.member("fdname", d); err != nil {
		return err
	}
	return f.member(fdMember, d)
}

// addFD reads (h fd, a{sv} options).
func (f *fdArguments) addFD(d *wire.Decoder) error {
	if err := f.member(fdMember, d); err != nil {
		return err
	}
	return f.dictionary(d)
}

func forwardPassing(r *request) {
	r.forward(func(reply qmp.Reply) { r.replyTyped(r.plan, reply) })
}
