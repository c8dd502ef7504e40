package bridge

import (
	"encoding/json"
	"sync"
	"time"

	"qmp-dbus-bridge/bridge/inventory"
	"qmp-dbus-bridge/bridge/quota"
	"qmp-dbus-bridge/qmp"
)

// unplugPlaces is how many calls of Unplug may wait at a time: as many as a large VM has drives. Each keeps a call and room for
// its record, some 1 KiB.
var unplugPlaces = quota.Places{Sender: 16, User: 32, Users: 48, All: 64}

// unplugs are the calls of Unplug that wait for a guest to let go of a device. An unplug is at an end when it is no more
// in waiting; whoever takes it out answers the call, without the lock.
type unplugs struct {
	mirror *mirror

	mu      sync.Mutex // guards all below and what is in waiting; held for a few steps
	taken   quota.Taken
	waiting map[*unplug]bool
}

// unplug is one such call.
type unplug struct {
	request  *request
	claim    quota.Claim
	patience time.Duration

	accepted bool        // QEMU has accepted it, so it has no slot any more
	early    *verdict    // that came before that
	timer    *time.Timer // ends it from then on
}

// verdict is how an unplug ends: the guest has let go, or why not.
type verdict struct{ err error }

func newUnplugs(mirror *mirror) *unplugs {
	return &unplugs{mirror: mirror, taken: quota.NewTaken(unplugPlaces), waiting: map[*unplug]bool{}}
}

// begin runs the request's device_del. It waits from then on, since the event may come before QEMU's answer does.
func (us *unplugs) begin(r *request, patience time.Duration) {
	u := &unplug{request: r, claim: r.claim, patience: patience}
	if err := us.enter(u); err != nil {
		r.fail(err)
		return
	}
	r.onRelease = func() { us.leave(u) }
	r.start(func(qmp.Reply) {
		r.releaseSlot()
		us.accept(u)
	})
	if !r.bridge.isKnown(r.Sender) { // it left meanwhile
		us.forget(r.Sender)
	}
}

// enter has u wait, if there is a place.
func (us *unplugs) enter(u *unplug) error {
	us.mu.Lock()
	defer us.mu.Unlock()
	if !us.taken.May(u.claim) {
		return failuref(errLimits, "of the calls of Unplug that may wait for the guest, %s, which is the most; try again when some are answered, or with timeout 0",
			us.taken.FullFor(u.claim))
	}
	us.taken.Count(u.claim, 1)
	us.waiting[u] = true
	return nil
}

// leave gives u's place back, once its call has been answered.
func (us *unplugs) leave(u *unplug) {
	us.mu.Lock()
	defer us.mu.Unlock()
	delete(us.waiting, u)
	us.taken.Count(u.claim, -1)
}

// accept has u's time run, unless its verdict has come.
func (us *unplugs) accept(u *unplug) {
	us.mu.Lock()
	u.accepted = true
	if u.early == nil {
		u.timer = time.AfterFunc(u.patience, func() { us.expire(u) })
	} else {
		delete(us.waiting, u)
	}
	us.mu.Unlock()
	if u.early != nil {
		us.mirror.refresh(u.request.object.query, func() { u.answer(*u.early) })
	}
}

// expire ends u, whose time is over.
func (us *unplugs) expire(u *unplug) {
	late := failuref(errTimeout, "the guest has not let go of the device %s within %d ms; it still may, which InterfacesRemoved of %s tells",
		dbusText(u.request.object.id), u.patience.Milliseconds(), u.request.Path)
	us.endNow(func(other *unplug) bool { return other == u }, verdict{late})
}

// end ends those that picked picks. It returns what answers their calls, nil if there are none. Those that QEMU has not accepted
// yet end when it has.
func (us *unplugs) end(picked func(*unplug) bool, v verdict) (answer func()) {
	us.mu.Lock()
	defer us.mu.Unlock()
	var ended []*unplug
	for u := range us.waiting {
		switch {
		case !picked(u):
		case u.accepted:
			u.timer.Stop()
			delete(us.waiting, u)
			ended = append(ended, u)
		case u.early == nil:
			u.early = &v
		}
	}
	if ended == nil {
		return nil
	}
	return func() {
		for _, u := range ended {
			u.answer(v)
		}
	}
}

// endNow is end that answers at once.
func (us *unplugs) endNow(picked func(*unplug) bool, v verdict) {
	if answer := us.end(picked, v); answer != nil {
		answer()
	}
}

// answer ends u's call.
func (u *unplug) answer(v verdict) {
	if v.err != nil {
		u.request.fail(v.err)
		return
	}
	u.request.replyEmpty()
}

// heard takes an event in, and returns what answers the calls that it ends, to be called when the objects show what it tells;
// nil if there are none.
func (us *unplugs) heard(ev qmp.Event) (answer func()) {
	judge := unplugEvents[ev.Name]
	if judge == nil {
		return nil
	}
	var told unplugEvent
	if json.Unmarshal(ev.Data, &told) != nil || told.Device == "" { // that of a part of a device has no id
		return nil
	}
	return us.end(func(u *unplug) bool { return u.request.object.id == told.Device }, verdict{judge(told)})
}

// unplugEvent is the data of an event that ends an unplug.
type unplugEvent struct {
	Device  string `json:"device"` // its id
	Message string `json:"msg"`
}

// unplugEvents are those events, and why the device has not been unplugged: nil if it has.
var unplugEvents = map[string]func(unplugEvent) error{
	"DEVICE_DELETED": func(unplugEvent) error { return nil },
	"DEVICE_UNPLUG_GUEST_ERROR": func(told unplugEvent) error {
		return failuref(errUnplugRefused, "the guest does not let go of the device %s", inventory.Text(told.Device))
	},
	"MEM_UNPLUG_ERROR": func(told unplugEvent) error { // 10.0 has only the one above
		return failuref(errUnplugRefused, "the guest does not let go of the device %s: %s", inventory.Text(told.Device), inventory.Text(told.Message))
	},
}

// forget ends those of a caller that has left the bus.
func (us *unplugs) forget(sender string) {
	us.endNow(func(u *unplug) bool { return u.request.Sender == sender }, verdict{failuref(errNoReply, "the caller has left")})
}

// disconnect ends those that QEMU, which has gone, had accepted. Others are yet to be sent to the next one, which is not what
// was heard until now is about.
func (us *unplugs) disconnect() {
	us.mu.Lock()
	for u := range us.waiting {
		u.early = nil
	}
	us.mu.Unlock()
	gone := verdict{&failure{errDisconnected, "QEMU has gone before the guest let go of the device"}}
	us.endNow(func(u *unplug) bool { return u.accepted }, gone)
}
