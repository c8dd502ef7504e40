package bridge

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"

	"qmp-dbus-bridge/bridge/access"
	"qmp-dbus-bridge/bridge/action"
	"qmp-dbus-bridge/bridge/qmpserver"
	"qmp-dbus-bridge/bridge/quota"
	"qmp-dbus-bridge/qmp"
)

// sessionPlaces are those of QMP sessions at a time. Each is a thread, and what its client does not take: up to
// qmpserver.MaxWaiting.
var sessionPlaces = quota.Places{Sender: 4, User: 8, Users: 12, All: 16}

// sessionNames are what sessions are called: unique names that no bus gives.
const sessionNames = ":qmp.%d"

// sessions are those that there are.
type sessions struct {
	running sync.WaitGroup

	mu     sync.Mutex // guards what follows, and Add of running before closed
	taken  quota.Taken
	byName map[string]*session
	named  uint64 // sessions; no name is used again
	closed bool
}

func newSessions() *sessions {
	return &sessions{taken: quota.NewTaken(sessionPlaces), byName: map[string]*session{}}
}

// newName is that of the next session.
func (all *sessions) newName() string {
	all.mu.Lock()
	defer all.mu.Unlock()
	all.named++
	return fmt.Sprintf(sessionNames, all.named)
}

// openSession begins one of a caller that may. The connection is the session's, unless there is an error.
func (b *Bridge) openSession(conn *qmpserver.Conn, name string, caller *access.Caller, onBus bool) error {
	qemu := b.monitor()
	if qemu == nil {
		return &failure{errDisconnected, textNoQEMU}
	}
	s := &session{
		bridge: b, monitor: qemu, conn: conn, name: name, caller: caller, onBus: onBus,
		claim: quota.Claim{Sender: caller.Name, UID: caller.UID, Admin: b.policy.Load().Administers(caller)},
		woken: make(chan struct{}, 1), answered: make(chan struct{}, 1), ended: make(chan struct{}),
	}
	if err := b.sessions.add(s, qemu.Version()); err != nil {
		return err
	}
	if b.monitor() != qemu { // it went meanwhile
		s.end()
	}
	b.reviewSession(s) // so may what allowed it
	return nil
}

// reviewSessions ends those, of one caller on the bus or of everybody where that is empty, that the policy does not allow, and
// has the events of the others decided again.
func (b *Bridge) reviewSessions(caller string) {
	for _, s := range b.sessions.list(caller) {
		b.reviewSession(s)
	}
}

func (b *Bridge) reviewSession(s *session) {
	if s.onBus {
		b.callers.Update(s.caller)
	}
	decision := b.policy.Load().Decide(s.caller, action.Subscribe(), nil)
	if decision.Allowed() {
		s.hears.review()
		return
	}
	if err := b.audit.Write(s.record(decision)); err != nil {
		b.noteUnrecorded(err)
	}
	s.cut()
}

// add has a session greet its client and run, if there is a place for it.
func (all *sessions) add(s *session, version qmp.Version) error {
	all.mu.Lock()
	defer all.mu.Unlock()
	switch {
	case all.closed:
		return net.ErrClosed
	case !all.taken.May(s.claim):
		return failuref(errLimits, "of the QMP sessions that there may be, %s, which is the most; close some", all.taken.FullFor(s.claim))
	}
	if err := s.conn.Greet(version); err != nil {
		return err
	}
	all.taken.Count(s.claim, 1)
	all.byName[s.name] = s
	all.running.Go(s.run)
	return nil
}

// remove takes off one that has ended.
func (all *sessions) remove(s *session) {
	all.mu.Lock()
	defer all.mu.Unlock()
	delete(all.byName, s.name)
	all.taken.Count(s.claim, -1)
}

func (all *sessions) find(name string) *session {
	all.mu.Lock()
	defer all.mu.Unlock()
	return all.byName[name]
}

// list is all that there are now; of one caller on the bus, or of everybody where that is empty.
func (all *sessions) list(caller string) []*session {
	all.mu.Lock()
	defer all.mu.Unlock()
	if len(all.byName) == 0 { // the usual case
		return nil
	}
	list := slices.Collect(maps.Values(all.byName))
	return slices.DeleteFunc(list, func(s *session) bool { return caller != "" && s.caller.Name != caller })
}

// hear passes an event on to those who may have it.
func (all *sessions) hear(ev qmp.Event) {
	for _, s := range all.list("") {
		s.hear(ev)
	}
}

// endOf ends those of a caller that has left the bus.
func (all *sessions) endOf(caller string) {
	for _, s := range all.list(caller) {
		s.cut()
	}
}

// endAll ends all, once they have answered what they have begun. It does not wait.
func (all *sessions) endAll() {
	for _, s := range all.list("") {
		s.end()
	}
}

// close ends all for good, and waits for that. QEMU must have answered what they have begun.
func (all *sessions) close() {
	all.mu.Lock()
	all.closed = true
	all.mu.Unlock()
	for _, s := range all.list("") {
		s.cut()
	}
	all.running.Wait()
}
