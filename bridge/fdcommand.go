package bridge

import (
	"encoding/json"
	"fmt"
	"strings"

	"qmp-dbus-bridge/qmp"
	"qmp-dbus-bridge/schema"
	"qmp-dbus-bridge/schema/wire"
)

// fdCommands run those of QEMU's commands that give it descriptors of a caller's own, or take them back. Such a descriptor is its caller's
// alone: no other can name, replace, close or remove it; and QEMU closes it when the caller leaves.
var fdCommands = map[string]func(*request, func(qmp.Reply)){
	"getfd": runGetfd, "closefd": runClosefd, "add-fd": runAddFD, "remove-fd": runRemoveFD,
}

// fdArgs are the arguments of all those; nil what is not given.
type fdArgs struct {
	name, opaque *string
	set, fd      *int64 // fd is one of the set's
}

// fdArguments are those that each of the commands has, as QEMU spells them.
var fdArguments = map[string]map[string]func(*fdArgs) any{
	"getfd":     {"fdname": fdNameOf},
	"closefd":   {"fdname": fdNameOf},
	"add-fd":    {"fdset-id": fdSetOf, "opaque": func(a *fdArgs) any { return &a.opaque }},
	"remove-fd": {"fdset-id": fdSetOf, fdMember: func(a *fdArgs) any { return &a.fd }},
}

func fdNameOf(a *fdArgs) any { return &a.name }

func fdSetOf(a *fdArgs) any { return &a.set }

// readFDArgs reads the arguments of a command that may be one of those. It takes none that QEMU does not, so what is decided is what is run.
func readFDArgs(command string, arguments []byte) (a fdArgs, err error) {
	known := fdArguments[command]
	if known == nil || arguments == nil {
		return a, nil
	}
	var given map[string]json.RawMessage
	if err := json.Unmarshal(arguments, &given); err != nil {
		return a, failuref(errInvalidArgs, "%s: %v", command, err)
	}
	for name, value := range given {
		of := known[name]
		if of == nil {
			return a, failuref(errInvalidArgs, "%s: there is no %.64q", command, name)
		}
		if string(value) == "null" || json.Unmarshal(value, of(&a)) != nil {
			kind := "an integer"
			if _, isText := of(&a).(**string); isText {
				kind = "a string"
			}
			return a, failuref(errInvalidArgs, "%s.%s: this is not %s", command, name, kind)
		}
	}
	return a, nil
}

// fdName is the name in the arguments, empty if there is none.
func (a *fdArgs) fdName() string {
	if a.name == nil {
		return ""
	}
	return *a.name
}

func runGetfd(r *request, done func(qmp.Reply)) {
	name := r.fdArgs.fdName()
	if err := r.bridge.fdnames.begin(r.claim, name); err != nil {
		done(qmp.Reply{Err: err})
		return
	}
	r.startWithFDs(r.command, func(reply qmp.Reply) {
		r.bridge.fdnames.settle(r.monitor, name, true, reply.Err)
		done(reply)
	})
}

func runClosefd(r *request, done func(qmp.Reply)) {
	name := r.fdArgs.fdName()
	if err := r.bridge.fdnames.beginClose(r.claim, name); err != nil {
		done(qmp.Reply{Err: err})
		return
	}
	r.monitor.Start(r.command, func(reply qmp.Reply) {
		r.bridge.fdnames.settle(r.monitor, name, false, reply.Err)
		done(reply)
	})
}

func runAddFD(r *request, done func(qmp.Reply)) {
	set, err := r.bridge.fdsets.beginOwned(r.monitor, r.claim, r.fdArgs.set)
	if err != nil {
		done(qmp.Reply{Err: err})
		return
	}
	opaque, _ := json.Marshal(r.bridge.fdsets.opaque(r.fdArgs.opaque)) // a string always is JSON
	command := qmp.Command{Name: r.command.Name, Arguments: fmt.Appendf(nil, `{"fdset-id":%d,"opaque":%s}`, set, opaque)}
	r.startWithFDs(command, func(reply qmp.Reply) {
		r.bridge.fdsets.added(r.monitor, set, reply)
		done(reply)
	})
}

func runRemoveFD(r *request, done func(qmp.Reply)) {
	set, fd := r.fdArgs.set, r.fdArgs.fd
	if set == nil {
		r.monitor.Start(r.command, done) // QEMU says what is wrong
		return
	}
	known, err := r.bridge.fdsets.beginRemoval(r.claim, *set)
	if err != nil {
		done(qmp.Reply{Err: err})
		return
	}
	r.monitor.Start(r.command, func(reply qmp.Reply) {
		if known {
			r.bridge.fdsets.removed(r.monitor, *set, fd, reply.Err)
		}
		done(reply)
	})
}

// startWithFDs runs a command with the descriptors that came with the request, of a caller that is still there.
func (r *request) startWithFDs(command qmp.Command, done func(qmp.Reply)) {
	command.FDs = r.takeFDs()
	r.monitor.Start(command, done)
	if r.Call == nil {
		return // a session forgets at its end
	}
	if !r.bridge.isKnown(r.Sender) { // it left meanwhile
		r.bridge.forgetFDs(r.Sender)
	}
}

// forgetFDs has QEMU close what a caller that has left, or a session that has ended, had passed.
func (b *Bridge) forgetFDs(owner string) {
	b.fdnames.forget(owner)
	b.fdsets.forget(owner)
}

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
