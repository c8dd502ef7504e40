package bridge

import (
	"cmp"
	"errors"

	"qmp-dbus-bridge/bridge/inventory"
	"qmp-dbus-bridge/qmp"
)

// round is one refresh: queries that are asked one after another, since QEMU's queue has one place for us. What one tells is
// shown before the next is asked, but for a QEMU that has not been read yet: that is shown as a whole. So an event that is heard
// meanwhile is never followed by what was read before it.
type round struct {
	monitor  *qmp.Conn
	due      inventory.Set
	then     []func()
	readings [inventory.Count]inventory.Reading
	err      [inventory.Count]error // why a reading has nothing
	gaps     [inventory.Count]error // why something of its objects is not known
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
		m.showOne(r, q)
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

// end ends a round, of which all is shown then, unless the connection ended: then disconnect tells.
func (m *mirror) end(r *round, whole bool) {
	m.mu.Lock()
	if whole && r.monitor == m.monitor && m.arrived != nil {
		m.showAll(r)
	}
	m.asking = false
	another := m.begin()
	m.mu.Unlock()
	for _, f := range r.then {
		f()
	}
	m.run(another)
}

// showOne makes what was read of a query part of the state.
func (m *mirror) showOne(r *round, q int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r.monitor != m.monitor || m.arrived != nil {
		return
	}
	m.change(func(s *state) { m.take(r, q, s) })
	m.keepPace()
}

// showAll makes what was read of a QEMU that has arrived the state. The lock is held.
func (m *mirror) showAll(r *round) {
	m.arrived.take()
	m.change(func(s *state) {
		s.identity, s.connected = m.arrived.identity, true
		for q := range inventory.Queries {
			m.take(r, q, s)
		}
	})
	m.arrived = nil
	m.keepPace()
}

// take puts what was read of a query into a state. The lock is held.
func (m *mirror) take(r *round, q int, s *state) {
	s.readings[q] = newReading(m.layout.kinds[q], m.complete(r, q), s.readings[q])
	m.note(q, r)
}

// complete is what a round has read of a query, with what is known besides; it notes whether that moves. The lock is held.
func (m *mirror) complete(r *round, q int) inventory.Reading {
	told := r.readings[q]
	m.moving &^= inventory.SetOf(q)
	if told.Moving {
		m.moving |= inventory.SetOf(q)
	}
	if r.err[q] == nil {
		told = m.known[q].Complete(told)
	}
	if q == inventory.Jobs {
		told = m.ledger.Read(told)
	}
	return told
}

// note logs what could not be read: once until it can be again, and each time that this has happened twice as often, since QEMU
// decides how often.
func (m *mirror) note(q int, r *round) {
	query, left := &inventory.Queries[q], r.readings[q].Left
	err := cmp.Or(r.err[q], r.gaps[q])
	trouble := err != nil || left > 0
	if !trouble {
		m.troubled &^= inventory.SetOf(q)
		return
	}
	if m.troubled.Has(q) {
		return
	}
	m.troubled |= inventory.SetOf(q)
	switch count, doubled := m.troubles[q].add(1); {
	case !doubled:
	case left > 0:
		m.log.Warn("QEMU has more than is shown: too many, too long or equal names", "command", query.Command, "left", left, "count", count)
	default:
		m.log.Warn("what QEMU has can't be read", "command", query.Command, "error", err, "count", count)
	}
}
