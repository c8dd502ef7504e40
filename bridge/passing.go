package bridge

import (
	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/bridge/fdpass"
	"qmp-dbus-bridge/bridge/inventory"
	"qmp-dbus-bridge/qmp"
)

// send runs the command, with its descriptors.
func (r *request) send(done func(qmp.Reply)) {
	if len(r.placed.Args) == 0 && !fdpass.IsOwn(r.command.Name) {
		r.monitor.Start(r.command, done)
		return
	}
	r.bridge.holdings.Start(r.monitor, fdpass.Command{
		Command: r.command, Owner: r.claim, Serial: r.serial(), Placed: r.placed, TakeFDs: r.takeFDs,
	}, done)
	if r.Call == nil {
		return // a session forgets at its end
	}
	if !r.bridge.isKnown(r.Sender) { // it left meanwhile
		r.bridge.holdings.Forget(r.Sender)
	}
}

// serial tells the caller's calls apart.
func (r *request) serial() uint32 {
	if r.Call == nil {
		return 0
	}
	return r.Serial
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

// guestRuns tells whether the guest runs, as QEMU told last.
func (b *Bridge) guestRuns() bool {
	const running = "running" // a RunState
	var status string
	b.mirror.look(func(now *state) { status = now.readings[inventory.Status].fact(0).String() })
	return status == running
}
