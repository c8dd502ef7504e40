package bridge

import (
	"log/slog"
	"sync"
	"time"

	"qmp-dbus-bridge/bridge/inventory"
	"qmp-dbus-bridge/qmp"
)

// mirror keeps the current state, and refreshes from QEMU what an event or a command says may have
// changed.
type mirror struct {
	log    *slog.Logger
	layout *layout

	// mu guards all below, and keeps the bus's view in order: changes are announced, and what was read of a
	// state is answered, while it is held. Neither blocks.
	mu       sync.Mutex
	now      *state
	audience *audience
	monitor  *qmp.Conn                         // which to ask; nil while there is none
	ledger   *inventory.Ledger                 // of its jobs; nil while there is none
	known    [inventory.Count]*inventory.Known // of its objects
	arrived  *arrival
	asking   bool                   // a round is on its way
	stale    inventory.Set          // for the next one
	next     []func()               // run after the next one
	troubled inventory.Set          // queries that told nothing the last time
	troubles [inventory.Count]tally // how often that began
	moving   inventory.Set          // queries whose answer changes without an event
	pace     *time.Timer            // has follow ask those again
	paced    bool                   // it is to
}

// arrival is a QEMU that is not shown yet. When it is, take makes it the one that calls go to: before anybody is
// told, so that who is told can call. It must not block.
type arrival struct {
	identity
	take     func()
	told     [inventory.Count]told // what was read of it
	read     bool                  // that is all
	admitted func()                // is called once it is shown; nil before admit
}

func newMirror(log *slog.Logger, layout *layout, bridgeVersion string, bus announcer) *mirror {
	now := &state{bridgeVersion: bridgeVersion}
	now.readings[helpers] = nothing
	now.forget()
	now.vm = layout.vmObject(now, nil)
	m := &mirror{log: log, layout: layout, now: now, audience: newAudience(bus, now), known: knowNothing()}
	m.pace = time.AfterFunc(inventory.Pace, m.follow)
	m.pace.Stop()
	return m
}

// knowNothing is what is known of a QEMU that has just been reached, or has gone.
func knowNothing() (all [inventory.Count]*inventory.Known) {
	for q := range all {
		all[q] = inventory.Queries[q].Known()
	}
	return all
}

// object returns what is at path at this moment, or nil.
func (m *mirror) object(path string) *object {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.layout.object(m.now, path)
}

// look has f see the state, and answer who asked for it before any change of it is announced: it must not block.
func (m *mirror) look(f func(*state)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f(m.now)
}

// change replaces the state and announces what differs. The lock is held.
func (m *mirror) change(edit func(*state)) {
	now := *m.now
	edit(&now)
	now.vm = m.layout.vmObject(&now, m.now.vm)
	m.now = &now
	_ = m.audience.catchUp(m.now) // the rest when the bus takes it, see retell
}

// setPolicyHash shows another policy.
func (m *mirror) setPolicyHash(hash string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.change(func(s *state) { s.policyHash = hash })
}

// showHelpers shows who helps now.
func (m *mirror) showHelpers(told inventory.Reading) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.change(func(s *state) { s.readings[helpers] = newReading(m.layout.kinds[helpers], told, s.readings[helpers]) })
}

// retell announces what the bus did not take before.
func (m *mirror) retell() {
	m.mu.Lock()
	defer m.mu.Unlock()
	_ = m.audience.catchUp(m.now) // or it drains once more
}

// connect has a QEMU read that has been reached. It is shown as a whole once that is done and admit was called.
func (m *mirror) connect(monitor *qmp.Conn, a *arrival) {
	m.mu.Lock()
	m.monitor, m.ledger, m.known, m.arrived = monitor, new(inventory.Ledger), knowNothing(), a
	r := m.want(inventory.All, nil)
	m.mu.Unlock()
	m.run(r)
}

// admit has a QEMU that has arrived shown, and calls then, unless it goes before.
func (m *mirror) admit(a *arrival, then func()) {
	m.mu.Lock()
	a.admitted = then
	shown := m.showArrived()
	m.mu.Unlock()
	if shown != nil {
		shown()
	}
}

// disconnect shows that QEMU has gone, and with it all but its identity.
func (m *mirror) disconnect() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.monitor, m.ledger, m.known, m.arrived, m.stale, m.moving = nil, nil, knowNothing(), nil, 0, 0
	m.keepPace()
	m.change(func(s *state) {
		s.forget()
		s.connected = false
	})
}

// hear takes in an event, and calls then, which may be nil, after what it has QEMU asked for is shown. What it tells
// by itself is shown now.
func (m *mirror) hear(ev qmp.Event, then func()) {
	m.mu.Lock()
	for _, k := range m.known {
		k.Heard(ev.Name, ev.Data)
	}
	m.showTold(ev.Name)
	r := m.want(inventory.TouchedByEvent(ev.Name), then)
	m.mu.Unlock()
	m.run(r)
}

// showTold shows what an event tells by itself, unless all of this QEMU is yet to be. The lock is held.
func (m *mirror) showTold(event string) {
	if m.monitor == nil || m.arrived != nil {
		return
	}
	version := m.monitor.Version()
	if facts := inventory.Told(event, version.Major, version.Minor); facts != nil {
		m.change(func(s *state) {
			s.readings[inventory.Status] = newReading(nil, inventory.Reading{Facts: facts}, s.readings[inventory.Status])
		})
	}
}

// learn takes in a command of a caller that QEMU has executed. What it touches is not asked for yet.
func (m *mirror) learn(command qmp.Command) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, k := range m.known {
		k.Executed(command.Name, command.Arguments)
	}
}

// refresh asks QEMU what these queries tell and calls then, which may be nil, after it is shown or
// could not be had. Many refreshes that come together make one or two rounds.
func (m *mirror) refresh(queries inventory.Set, then func()) {
	m.mu.Lock()
	r := m.want(queries, then)
	m.mu.Unlock()
	m.run(r)
}

// want has the next round ask these queries, and returns it if it is to begin now. The lock is held.
func (m *mirror) want(queries inventory.Set, then func()) *round {
	if m.monitor != nil {
		m.stale |= queries
	}
	if then != nil {
		m.next = append(m.next, then)
	}
	return m.begin()
}

// keepPace has what moves asked again in time, and nothing asked if nothing moves. The lock is held.
func (m *mirror) keepPace() {
	switch moves := m.moving != 0; {
	case moves && !m.paced:
		m.pace.Reset(inventory.Pace)
	case !moves:
		m.pace.Stop()
	}
	m.paced = m.moving != 0
}

// follow asks again what moves.
func (m *mirror) follow() {
	m.mu.Lock()
	if !m.paced { // the timer had fired before it was stopped
		m.mu.Unlock()
		return
	}
	m.paced = false
	r := m.want(m.moving, nil)
	m.mu.Unlock()
	m.run(r)
}
