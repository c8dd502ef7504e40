package bridge

import (
	"fmt"
	"strings"

	"qmp-dbus-bridge/qmp"
	"qmp-dbus-bridge/schema"
	"qmp-dbus-bridge/schema/wire"
)

// fdMember is what the descriptor itself is called in Call, as a member of D-Bus type h.
const fdMember = "fd"

// fdMembers are the other members of the commands that take a descriptor, and the D-Bus types of each.
var fdMembers = map[string]map[string]string{
	"getfd":  {"fdname": "s"},
	"add-fd": {"fdset-id": "ynqiuxt", "opaque": "s"},
}

// fdReader reads the arguments of such a command.
type fdReader struct {
	command string
	json    []byte
	seen    map[string]bool
	fds     []uint32
}

// parsePassing reads a dictionary of such a command, and makes the request one for that.
func (r *request) parsePassing(command string, d *wire.Decoder, f *fdReader) error {
	for d.Enter(); d.More(); d.Exit() {
		d.Enter()
		if err := f.member(d.String(), d); err != nil {
			return r.setGiven(command, nil, nil, err)
		}
	}
	if err := d.Err(); err != nil {
		return r.setGiven(command, nil, nil, failuref(errInvalidArgs, "%s: %v", command, err))
	}
	return r.setPassing(f)
}

// member reads one, the decoder being at its value.
func (f *fdReader) member(name string, d *wire.Decoder) error {
	for d.Kind() == 'v' {
		d.Enter()
		defer d.Exit()
	}
	place := f.command + "." + name
	types, known := fdMembers[f.command][name]
	if name == fdMember {
		types, known = "h", true
	}
	switch is := d.Type(); {
	case !known:
		return failuref(errInvalidArgs, "%s: there is no %.64q", f.command, name)
	case f.seen[name]:
		return failuref(errInvalidArgs, "%s: given twice", place)
	case len(is) != 1 || !strings.Contains(types, is):
		return failuref(errInvalidArgs, "%s: of D-Bus type '%.64s', which is none of '%s'", place, is, types)
	case name == fdMember:
		f.fds = append(f.fds, d.UnixFD())
	default:
		if len(f.json) > 1 {
			f.json = append(f.json, ',')
		}
		value, err := schema.AppendValue(fmt.Appendf(f.json, "%q:", name), d, place)
		if err != nil {
			return err
		}
		f.json = value
	}
	f.seen[name] = true
	return nil
}

func newFDReader(command string) *fdReader {
	return &fdReader{command: command, json: []byte{'{'}, seen: map[string]bool{}}
}

// setPassing makes the request one for the command that was read.
func (r *request) setPassing(f *fdReader) error {
	var err error
	switch n := len(r.front.FDs()); {
	case len(f.fds) != 1:
		err = failuref(errInvalidArgs, "%s: the descriptor is given as %s, of D-Bus type h", f.command, fdMember)
	case n != 1:
		err = failuref(errInvalidArgs, "%s: the message has %d file descriptors, and takes one", f.command, n)
	}
	if err != nil {
		return r.setGiven(f.command, nil, nil, err)
	}
	return r.setCommand(f.command, append(f.json, '}'))
}

// passingMethods are the typed ones of the commands that take a descriptor.
func passingMethods() []method {
	getfd := objectCommand("Getfd", "getfd", []schema.Arg{{Name: "fdname", Type: "s"}, {Name: "fd", Type: "h"}}, nil)
	getfd.parse, getfd.run = parseGetfd, forwardPassing
	addFD := objectCommand("AddFd", "add-fd", []schema.Arg{{Name: "fd", Type: "h"}, {Name: "options", Type: "a{sv}"}}, nil)
	addFD.parse = parseAddFD
	return []method{getfd, answering(addFD, schema.Arg{Name: "result", Type: "a{sv}"}, forwardPassing)}
}

func parseGetfd(r *request) error {
	const command = "getfd"
	if r.plan == nil {
		return r.lacking(command)
	}
	d, f := r.Decoder(), newFDReader(command)
	for _, name := range []string{"fdname", fdMember} {
		if err := f.member(name, &d); err != nil {
			return r.setGiven(command, nil, nil, err)
		}
	}
	return r.setPassing(f)
}

func parseAddFD(r *request) error {
	const command = "add-fd"
	if r.plan == nil {
		return r.lacking(command)
	}
	d, f := r.Decoder(), newFDReader(command)
	if err := f.member(fdMember, &d); err != nil {
		return r.setGiven(command, nil, nil, err)
	}
	return r.parsePassing(command, &d, f)
}

func forwardPassing(r *request) {
	r.forward(func(reply qmp.Reply) { r.replyTyped(r.plan, reply) })
}
