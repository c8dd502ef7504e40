package fdpass

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/bridge/fdarg"
	"qmp-dbus-bridge/qmp"
)

// passing is a command with descriptors in place of names, on its way:
//
//	getfd or add-fd, for each -> the command -> closefd or remove-fd, of what QEMU may have still
//
// The command is the caller's; the others are by the bridge's own right. All are given to the connection at once, without waiting for answers,
// so that nothing that the caller sends later overtakes them: QEMU executes them in this order, and a command whose descriptor QEMU did not
// take does not find it. Only the last ones wait for the command's answer.
type passing struct {
	*Holdings
	Command
	monitor *qmp.Conn
	passes  []pass
	reply   qmp.Reply // to the command
	refused atomic.Bool
	left    atomic.Int32 // answers that are still to come; what they are about is theirs to write until then
	done    func(qmp.Reply)
}

// pass is one descriptor that QEMU gets.
type pass struct {
	*fdarg.Arg
	name string // of it, or the number of its set
	set  *Set   // nil if it is by name
	err  error  // why QEMU has not got it
}

// startPassing runs a command with its descriptors.
func (h *Holdings) startPassing(monitor *qmp.Conn, c Command, done func(qmp.Reply)) {
	p := &passing{Holdings: h, Command: c, monitor: monitor, done: done}
	if err := p.prepare(); err != nil {
		done(qmp.Reply{Err: err})
		return
	}
	p.begin(p.TakeFDs())
}

// prepare finds the names.
func (p *passing) prepare() error {
	for i := range p.Placed.Args {
		a := &p.Placed.Args[i]
		for range a.Indexes {
			one := pass{Arg: a}
			if a.Use.IsSet() {
				set, err := p.sets.begin(p.monitor)
				if err != nil {
					p.forget()
					return err
				}
				one.set, one.name = set, set.number()
			} else {
				one.name = newName(p.Serial)
			}
			p.passes = append(p.passes, one)
		}
	}
	return nil
}

// forget gives the sets back that QEMU was not told of.
func (p *passing) forget() {
	for _, one := range p.passes {
		if one.set != nil {
			one.set.Drop()
		}
	}
}

// begin sends all but what waits for answers. It owns the call's descriptors.
func (p *passing) begin(fds []int) {
	p.left.Store(int32(len(p.passes)) + 1)
	i := 0
	for _, a := range p.Placed.Args {
		for _, index := range a.Indexes {
			p.pass(&p.passes[i], fds[index])
			i++
		}
	}
	if p.refused.Load() {
		p.arrived() // the reason is known already
		return
	}
	command := p.Command.Command
	command.Arguments = p.Placed.Named(p.written())
	p.monitor.Start(command, func(reply qmp.Reply) {
		p.reply = qmp.Reply{Return: bytes.Clone(reply.Return), Err: reply.Err}
		p.arrived()
	})
}

// pass gives QEMU a descriptor, which it owns, unless another was refused already.
func (p *passing) pass(one *pass, fd int) {
	if p.refused.Load() {
		_ = unix.Close(fd) // nothing was done with it
		one.err = errNotPassed
		p.arrived()
		return
	}
	answered := func(reply qmp.Reply) {
		if one.err = reply.Err; reply.Err != nil {
			p.refused.Store(true)
		}
		p.arrived()
	}
	if one.set != nil {
		one.set.Add(p.monitor, fd, answered)
		return
	}
	p.monitor.Start(getFD(one.name, fd), answered)
}

// errNotPassed is why QEMU has not got a descriptor that comes after one that it has not got.
var errNotPassed = errors.New("not passed")

// written are the names of all arguments, as they are written there.
func (p *passing) written() []string {
	var names []string
	rest := p.passes
	for _, a := range p.Placed.Args {
		var list []string
		for range a.Indexes {
			list, rest = append(list, rest[0].name), rest[1:]
		}
		names = append(names, strings.Join(list, ":"))
	}
	return names
}

// arrived is called for each answer; the last one has QEMU let go of what it has still.
func (p *passing) arrived() {
	if p.left.Add(-1) > 0 {
		return
	}
	for i := range p.passes {
		if err := p.passes[i].err; err != nil && !errors.Is(err, errNotPassed) && !errors.Is(p.reply.Err, qmp.ErrClosed) {
			p.reply.Err = err
			break
		}
	}
	after := p.after()
	if len(after) == 0 {
		p.done(p.reply)
		return
	}
	p.left.Store(int32(len(after)))
	for _, end := range after {
		end(func() {
			if p.left.Add(-1) == 0 {
				p.done(p.reply)
			}
		})
	}
}

// after is what is to be done when the command has been answered.
func (p *passing) after() (ends []func(then func())) {
	for i := range p.passes {
		one := &p.passes[i]
		failed := p.reply.Err != nil
		switch {
		case one.set != nil && one.err != nil:
			one.set.Drop()
		case one.set != nil && (failed || one.Use == fdarg.Once):
			ends = append(ends, func(then func()) { one.set.Remove(p.monitor, then) })
		case one.set != nil:
			one.set.keep(one.Use, p.Command.Command)
		case errors.Is(one.err, qmp.ErrClosed):
			p.names.stray(p.monitor, one.name)
		case one.err == nil && (failed || !one.Taken):
			ends = append(ends, func(then func()) { p.names.close(p.monitor, one.name, then) })
		}
	}
	return ends
}

// newName is how QEMU calls a descriptor that a call with that serial passes, until a command takes it. All commands of a
// connection share these names: those with b and a digit in front are the bridge's own, and nobody can guess the rest, to use or
// close what another passes.
func newName(serial uint32) string { return fmt.Sprintf("b%d-%s", serial, rand.Text()) }
