package bridge

import (
	"cmp"
	"errors"
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
	asking   bool          // a round is on its way
	stale    inventory.Set // for the next one
	next     []func()      // run after the next one
	troubled inventory.Set // queries that told nothing the last time
	moving   inventory.Set // queries whose answer changes without an event
	pace     *time.Timer   // has follow ask those again
	paced    bool          // it is to
}

// arrival is a QEMU that has not been read yet. Once it is, take makes it the one that calls go to: before anybody is
// told, so that who is told can call. It must not block.
type arrival struct {
	identity
	take func()
}

// round is one refresh: queries that are asked one after another, since QEMU's queue has one place for us, and
// shown together.
type round struct {
	monitor  *qmp.Conn
	due      inventory.Set
	then     []func()
	readings [inventory.Count]inventory.Reading
	err      [inventory.Count]error // why a reading has nothing
	gaps     [inventory.Count]error // why something of its objects is not known
}

func newMirror(log *slog.Logger, layout *layout, bridgeVersion string, bus announcer) *mirror {
	now := &state{bridgeVersion: bridgeVersion, readings: unknown()}
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

// retell announces what the bus did not take before.
func (m *mirror) retell() {
	m.mu.Lock()
	defer m.mu.Unlock()
	_ = m.audience.catchUp(m.now) // or it drains once more
}

// connect reads a QEMU that has been reached, shows it as a whole, and calls then.
func (m *mirror) connect(monitor *qmp.Conn, a arrival, then func()) {
	m.mu.Lock()
	m.monitor, m.ledger, m.known, m.arrived = monitor, new(inventory.Ledger), knowNothing(), &a
	r := m.want(inventory.All, then)
	m.mu.Unlock()
	m.run(r)
}

// disconnect shows that QEMU has gone, and with it all but its identity.
func (m *mirror) disconnect() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.monitor, m.ledger, m.known, m.arrived, m.stale, m.moving = nil, nil, knowNothing(), nil, 0, 0
	m.keepPace()
	m.change(func(s *state) { s.readings, s.connected = unknown(), false })
}

// hear takes in an event, and calls then, which may be nil, after what it tells is shown.
func (m *mirror) hear(ev qmp.Event, then func()) {
	m.mu.Lock()
	for _, k := range m.known {
		k.Heard(ev.Name, ev.Data)
	}
	r := m.want(inventory.TouchedByEvent(ev.Name), then)
	m.mu.Unlock()
	m.run(r)
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

// begin makes the next round, or none while one is on its way or nothing is wanted. The lock is held.
func (m *mirror) begin() *round {
	if m.asking || m.stale == 0 && m.next == nil {
		return nil
	}
	r := &round{monitor: m.monitor, due: m.stale, then: m.next}
	m.asking, m.stale, m.next = true, 0, nil
	return r
}

// run asks what is due, and goes on with the rounds that are wanted meanwhile.
func (m *mirror) run(r *round) {
	if r != nil {
		m.ask(r, 0)
	}
}

// ask asks the due queries from that index on.
func (m *mirror) ask(r *round, q int) {
	for q < inventory.Count && !r.due.Has(q) {
		q++
	}
	if q == inventory.Count {
		m.end(r, true)
		return
	}
	m.mu.Lock()
	m.known[q].Asked()
	m.mu.Unlock()
	query := &inventory.Queries[q]
	m.askOne(r, qmp.Command{Name: query.Command, Arguments: query.Arguments}, func(reply qmp.Reply) {
		r.readings[q], r.err[q] = read(query, reply)
		m.askDetails(r, q, 0)
	})
}

// askDetails asks what is not known of the objects of a query, from that one on: one command for each, and there are MaxItems
// at most.
func (m *mirror) askDetails(r *round, q, from int) {
	items := r.readings[q].Items
	m.mu.Lock()
	i, command, arguments := m.known[q].Next(items, from)
	m.mu.Unlock()
	if i == len(items) {
		m.ask(r, q+1)
		return
	}
	m.askOne(r, qmp.Command{Name: command, Arguments: arguments}, func(reply qmp.Reply) {
		if err := m.learnDetail(r, q, items[i], reply); err != nil {
			r.gaps[q] = err
		}
		m.askDetails(r, q, i+1)
	})
}

// learnDetail takes in what QEMU told of one object of a query.
func (m *mirror) learnDetail(r *round, q int, of inventory.Item, reply qmp.Reply) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, refused := errors.AsType[*qmp.Error](reply.Err)
	switch {
	case r.monitor != m.monitor: // what is known is about another QEMU
		return nil
	case refused:
		m.known[q].LearnNone(of)
		return nil
	case reply.Err != nil:
		return reply.Err
	}
	return m.known[q].Learn(of, reply.Return)
}

// askOne asks one of the commands of a round, which ends with the connection.
func (m *mirror) askOne(r *round, command qmp.Command, then func(qmp.Reply)) {
	r.monitor.Start(command, func(reply qmp.Reply) {
		if errors.Is(reply.Err, qmp.ErrClosed) {
			m.end(r, false)
			return
		}
		then(reply)
	})
}

// read reads a reply. A QEMU that lacks the command, or what it is about, has none of it: a
// qemu-storage-daemon has no CPUs, a VM may have no balloon.
func read(query *inventory.Query, reply qmp.Reply) (inventory.Reading, error) {
	var refused *qmp.Error
	switch {
	case errors.As(reply.Err, &refused) && absence[refused.Class]:
		return query.Nothing(), nil
	case reply.Err != nil:
		return query.Nothing(), forLog(reply.Err)
	}
	return query.Read(reply.Return)
}

// absence are the classes of errors by which QEMU says that it has no such thing.
var absence = map[string]bool{"CommandNotFound": true, "DeviceNotActive": true, "DeviceNotFound": true, "KVMMissingCap": true}

// end shows what a round has read, unless the connection ended: then disconnect tells.
func (m *mirror) end(r *round, whole bool) {
	m.mu.Lock()
	if whole && r.monitor == m.monitor {
		m.show(r)
	}
	m.asking = false
	another := m.begin()
	m.mu.Unlock()
	for _, f := range r.then {
		f()
	}
	m.run(another)
}

// show makes what was read the state. The lock is held.
func (m *mirror) show(r *round) {
	if m.arrived != nil {
		m.arrived.take()
	}
	m.change(func(s *state) {
		if m.arrived != nil {
			s.identity, s.connected = m.arrived.identity, true
		}
		for q := range inventory.Queries {
			if r.due.Has(q) {
				told := r.readings[q]
				if r.err[q] == nil {
					told = m.known[q].Complete(told)
				}
				if q == inventory.Jobs {
					told = m.ledger.Read(told)
				}
				s.readings[q] = newReading(m.layout.kinds[q], told, s.readings[q])
				m.note(q, r)
				m.moving &^= inventory.SetOf(q)
				if r.readings[q].Moving {
					m.moving |= inventory.SetOf(q)
				}
			}
		}
	})
	m.arrived = nil
	m.keepPace()
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

// note logs what could not be read, once until it can be again, since QEMU decides how often.
func (m *mirror) note(q int, r *round) {
	query, left := &inventory.Queries[q], r.readings[q].Left
	err := cmp.Or(r.err[q], r.gaps[q])
	trouble := err != nil || left > 0
	switch {
	case !trouble:
		m.troubled &^= inventory.SetOf(q)
		return
	case m.troubled.Has(q):
	case left > 0:
		m.log.Warn("QEMU has more than is shown: too many, too long or equal names", "command", query.Command, "left", left)
	default:
		m.log.Warn("what QEMU has can't be read", "command", query.Command, "error", err)
	}
	m.troubled |= inventory.SetOf(q)
}
