package fdpass

import (
	"encoding/json"
	"fmt"

	"qmp-dbus-bridge/qmp"
)

// own is a command that gives QEMU a descriptor of a caller's own, or takes such back. Such a descriptor is its caller's alone: no other can
// name, replace, close or remove it; and QEMU closes it when the caller leaves.
type own struct {
	*Holdings
	Command
	arguments

	monitor *qmp.Conn
	done    func(qmp.Reply)
}

// ownCommands are those commands: what runs each, and the arguments that it has, as QEMU spells them. An error is why QEMU was told nothing.
var ownCommands = map[string]struct {
	run     func(*own) error
	members map[string]func(*arguments) any
}{
	"getfd":     {(*own).getfd, map[string]func(*arguments) any{"fdname": nameOf}},
	"closefd":   {(*own).closefd, map[string]func(*arguments) any{"fdname": nameOf}},
	"add-fd":    {(*own).addFD, map[string]func(*arguments) any{"fdset-id": setOf, "opaque": opaqueOf}},
	"remove-fd": {(*own).removeFD, map[string]func(*arguments) any{"fdset-id": setOf, "fd": fdOf}},
}

// IsOwn tells whether a command gives QEMU descriptors of a caller's own, or takes such back: getfd, closefd, add-fd, remove-fd.
func IsOwn(command string) bool { return ownCommands[command].run != nil }

// startOwn runs one.
func (h *Holdings) startOwn(monitor *qmp.Conn, c Command, done func(qmp.Reply)) {
	a, err := readArguments(c.Name, c.Arguments)
	if err == nil {
		err = ownCommands[c.Name].run(&own{h, c, a, monitor, done})
	}
	if err != nil {
		done(qmp.Reply{Err: err})
	}
}

func (o *own) getfd() error {
	name := o.fdName()
	if err := o.names.begin(o.Owner, name); err != nil {
		return err
	}
	o.pass(o.Command.Command, func(reply qmp.Reply) { o.names.settle(o.monitor, name, true, reply.Err) })
	return nil
}

func (o *own) closefd() error {
	name := o.fdName()
	if err := o.names.beginClose(o.Owner, name); err != nil {
		return err
	}
	o.start(o.Command.Command, func(reply qmp.Reply) { o.names.settle(o.monitor, name, false, reply.Err) })
	return nil
}

func (o *own) addFD() error {
	id, err := o.sets.beginOwned(o.monitor, o.Owner, o.set)
	if err != nil {
		return err
	}
	opaque, _ := json.Marshal(o.sets.opaqueOf(o.opaque)) // a string always is JSON
	command := qmp.Command{Name: o.Name, Arguments: fmt.Appendf(nil, `{"fdset-id":%d,"opaque":%s}`, id, opaque)}
	o.pass(command, func(reply qmp.Reply) { o.sets.added(o.monitor, id, reply) })
	return nil
}

func (o *own) removeFD() error {
	known, err := false, error(nil)
	if o.set != nil { // else QEMU says what is wrong
		known, err = o.sets.beginRemoval(o.Owner, *o.set)
	}
	if err != nil {
		return err
	}
	o.start(o.Command.Command, func(reply qmp.Reply) {
		if known {
			o.sets.removed(o.monitor, *o.set, o.fd, reply.Err)
		}
	})
	return nil
}

// pass is start with the descriptors that came with the command.
func (o *own) pass(command qmp.Command, settle func(qmp.Reply)) {
	command.FDs = o.TakeFDs()
	o.start(command, settle)
}

// start runs a command, and has settle take in what has become of it before done is told.
func (o *own) start(command qmp.Command, settle func(qmp.Reply)) {
	o.monitor.Start(command, func(reply qmp.Reply) {
		settle(reply)
		o.done(reply)
	})
}
