package bridge

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/bridge/fdarg"
	"qmp-dbus-bridge/qmp"
)

// passing is the request's command with descriptors of the call, on its way:
//
//	getfd or add-fd, for each -> the command -> closefd or remove-fd, of what QEMU may have still
//
// The command is the caller's; the others are by the bridge's own right. All are sent at once, without waiting for answers, so
// that nothing that the caller sends later overtakes them: QEMU executes them in this order, and a command whose descriptor QEMU did not
// take does not find it. Only the last ones wait for the command's answer.
type passing struct {
	*request
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
	set  int64
	err  error // why QEMU has not got it
}

// send runs the command, with its descriptors.
func (r *request) send(done func(qmp.Reply)) {
	if of := fdCommands[r.command.Name]; of != nil {
		of(r, done)
		return
	}
	if len(r.placed.Args) == 0 {
		r.monitor.Start(r.command, done)
		return
	}
	p := &passing{request: r, done: done}
	if err := p.prepare(); err != nil {
		done(qmp.Reply{Err: err})
		return
	}
	p.begin(r.takeFDs())
}

// keepFDs keeps the call's descriptors for a command that is sent after the call has been handled: else they are closed then. Those that no
// command takes are closed when the request ends.
func (r *request) keepFDs() {
	r.kept = r.TakeFDs()
	r.onRelease = func() {
		for _, fd := range r.kept {
			_ = unix.Close(fd)
		}
	}
}

// takeFDs hands over the descriptors that came with the request.
func (r *request) takeFDs() []int {
	if fds := r.kept; fds != nil {
		r.kept = nil
		return fds
	}
	return r.front.TakeFDs()
}

// prepare finds the names.
func (p *passing) prepare() error {
	for i := range p.placed.Args {
		a := &p.placed.Args[i]
		for range a.Indexes {
			one := pass{Arg: a}
			if a.Use.IsSet() {
				set, err := p.bridge.fdsets.begin(p.monitor)
				if err != nil {
					p.forget()
					return err
				}
				one.set, one.name = set, strconv.FormatInt(set, 10)
			} else {
				one.name = fdName(p.serial())
			}
			p.passes = append(p.passes, one)
		}
	}
	return nil
}

// forget gives the sets back that QEMU was not told of.
func (p *passing) forget() {
	for i := range p.passes {
		if one := &p.passes[i]; one.Use.IsSet() {
			p.bridge.fdsets.drop(one.set)
		}
	}
}

// begin sends all but what waits for answers. It owns the call's descriptors.
func (p *passing) begin(fds []int) {
	p.left.Store(int32(len(p.passes)) + 1)
	i := 0
	for _, a := range p.placed.Args {
		for _, index := range a.Indexes {
			p.pass(&p.passes[i], fds[index])
			i++
		}
	}
	if p.refused.Load() {
		p.arrived() // the reason is known already
		return
	}
	command := p.command
	command.Arguments = p.placed.Named(p.names())
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
	command := getFD(one.name, fd)
	if one.Use.IsSet() {
		command = p.bridge.fdsets.add(one.set, fd)
	}
	p.monitor.Start(command, func(reply qmp.Reply) {
		if one.err = reply.Err; reply.Err != nil {
			p.refused.Store(true)
		}
		p.arrived()
	})
}

// errNotPassed is why QEMU has not got a descriptor that comes after one that it has not got.
var errNotPassed = errors.New("not passed")

// names are those of all arguments.
func (p *passing) names() []string {
	var names []string
	rest := p.passes
	for _, a := range p.placed.Args {
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
		case one.Use.IsSet() && one.err != nil:
			p.bridge.fdsets.drop(one.set)
		case one.Use.IsSet() && (failed || one.Use == fdarg.Once):
			ends = append(ends, func(then func()) { p.bridge.fdsets.remove(p.monitor, one.set, then) })
		case one.Use.IsSet():
			p.bridge.fdsets.keep(one.set, one.Use, p.command)
		case errors.Is(one.err, qmp.ErrClosed):
			p.bridge.fdnames.stray(p.monitor, one.name)
		case one.err == nil && (failed || !one.Taken):
			ends = append(ends, func(then func()) { p.bridge.fdnames.close(p.monitor, one.name, then) })
		}
	}
	return ends
}

// nameable tells which descriptors of QEMU's the request may name.
func (r *request) nameable() fdarg.Names {
	owner := r.claim.sender
	return fdarg.Names{
		Name: func(name string) error { return r.bridge.fdnames.mayName(owner, name) },
		Set:  func(id int64) error { return r.bridge.fdsets.mayName(owner, id) },
	}
}

// serial tells the caller's calls apart.
func (r *request) serial() uint32 {
	if r.Call == nil {
		return 0
	}
	return r.Serial
}

// fdName is how QEMU calls a descriptor that a call with that serial passes, until a command takes it. All commands of a
// connection share these names: those with b and a digit in front are the bridge's own, and nobody can guess the rest, to use or
// close what another passes.
func fdName(serial uint32) string { return fmt.Sprintf("b%d-%s", serial, rand.Text()) }
