package bridge

import (
	"cmp"
	"errors"

	"qmp-dbus-bridge/bridge/inventory"
	"qmp-dbus-bridge/qmp"
)

// round is one refresh: queries, and what is not known of the objects of each. One command is on its way at a time, since QEMU's
// queue has one place for us, and what a query tells is shown before the next is asked. So an event that is heard meanwhile is
// never followed by what was read before it. But of a QEMU that has arrived nobody else asks anything: then as many are on
// their way as its queue takes, and it is shown as a whole.
type round struct {
	monitor *qmp.Conn
	then    []func()

	// The mirror's lock guards the rest.
	due      inventory.Set        // not asked yet
	asked    inventory.Set        // and not shown
	details  [inventory.Count]int // on their way
	told     [inventory.Count]told
	inFlight int
	broken   bool // the connection has ended
	over     bool
}

// told is what a round has read of a query.
type told struct {
	answered bool
	reading  inventory.Reading
	inquiry  *inventory.Inquiry // for what is not known of its objects
	err      error              // why the reading has nothing
	gap      error              // why something of its objects is not known
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

// run asks what is due and may be now, and goes on with the rounds that are wanted meanwhile.
func (m *mirror) run(r *round) {
	for r != nil {
		m.mu.Lock()
		ask := m.nextOf(r)
		ended := ask == nil && r.inFlight == 0 && !r.over
		r.over = r.over || ended
		m.mu.Unlock()
		switch {
		case ask != nil:
			ask()
		case ended:
			r = m.end(r)
		default:
			return
		}
	}
}

// nextOf finds what is to be asked next, or nil, and shows what has been read meanwhile: of each query there is first its answer, then
// the details of its objects. The lock is held.
func (m *mirror) nextOf(r *round) (ask func()) {
	width := 1
	if m.arrived != nil {
		width = qmp.MaxInBand
	}
	if r.over || r.broken || r.inFlight >= width {
		return nil
	}
	for q := range inventory.Count {
		if !r.asked.Has(q) || !r.told[q].answered {
			continue
		}
		if ask := m.nextDetail(r, q); ask != nil {
			return ask
		}
		if r.details[q] == 0 {
			r.asked &^= inventory.SetOf(q)
			m.show(r, q)
		}
	}
	if r.due == 0 {
		return nil
	}
	return m.nextQuery(r, r.nextDue(width > 1))
}

// nextDue is the next query to be asked, of those that are: when several are on their way, first what there is more to ask after.
func (r *round) nextDue(several bool) (first int) {
	first = -1
	for q := range inventory.Count {
		switch {
		case !r.due.Has(q):
		case !several || inventory.Queries[q].Detail != nil:
			return q
		case first < 0:
			first = q
		}
	}
	return first
}

// nextQuery is what asks a query. The lock is held.
func (m *mirror) nextQuery(r *round, q int) (ask func()) {
	r.due &^= inventory.SetOf(q)
	r.asked |= inventory.SetOf(q)
	r.inFlight++
	query, known := &inventory.Queries[q], m.known[q]
	known.Asked()
	return func() {
		m.ask(r, qmp.Command{Name: query.Command, Arguments: query.Arguments}, func(reply qmp.Reply) {
			reading, err := read(query, reply)
			m.mu.Lock()
			defer m.mu.Unlock()
			r.told[q] = told{answered: true, reading: reading, inquiry: known.Inquire(reading.Items), err: err}
			r.inFlight--
		})
	}
}

// nextDetail is what asks for something that is not known of the objects of a query, or nil: it is one command for each at most, of
// which there are MaxItems, and one more. The lock is held.
func (m *mirror) nextDetail(r *round, q int) (ask func()) {
	question, found := r.told[q].inquiry.Next()
	if !found {
		return nil
	}
	r.inFlight++
	r.details[q]++
	return func() {
		m.ask(r, qmp.Command{Name: question.Command, Arguments: question.Arguments}, func(reply qmp.Reply) {
			m.mu.Lock()
			defer m.mu.Unlock()
			if err := learnDetail(r.told[q].inquiry, question, reply); err != nil {
				r.told[q].gap = err
			}
			r.inFlight--
			r.details[q]--
		})
	}
}

// learnDetail takes in what QEMU told of objects of a query. The lock is held.
func learnDetail(inquiry *inventory.Inquiry, question inventory.Question, reply qmp.Reply) error {
	_, refused := errors.AsType[*qmp.Error](reply.Err)
	switch {
	case refused:
		inquiry.LearnNone(question)
		return nil
	case reply.Err != nil:
		inquiry.Miss(question)
		return reply.Err
	}
	return inquiry.Learn(question, reply.Return)
}

// ask asks one of the commands of a round, which goes on then, or ends with the connection.
func (m *mirror) ask(r *round, command qmp.Command, answered func(qmp.Reply)) {
	r.monitor.Start(command, func(reply qmp.Reply) {
		if errors.Is(reply.Err, qmp.ErrClosed) {
			m.mu.Lock()
			r.inFlight--
			r.broken = true
			m.mu.Unlock()
		} else {
			answered(reply)
		}
		m.run(r)
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

// end ends a round, and returns the next, if there is one.
func (m *mirror) end(r *round) *round {
	m.mu.Lock()
	var shown func()
	if m.arrived != nil && r.monitor == m.monitor && !r.broken {
		m.arrived.read = true
		shown = m.showArrived()
	}
	m.asking = false
	another := m.begin()
	m.mu.Unlock()
	for _, f := range append(r.then, shown) {
		if f != nil {
			f()
		}
	}
	return another
}

// show makes what was read of a query part of the state, unless that is yet to be shown as a whole. The lock is held.
func (m *mirror) show(r *round, q int) {
	switch {
	case r.monitor != m.monitor: // disconnect has told
	case m.arrived != nil:
		m.arrived.told[q] = r.told[q]
	default:
		m.change(func(s *state) { m.take(s, q, &r.told[q]) })
		m.keepPace()
	}
}

// showArrived makes a QEMU that has arrived the state if it has been read and admitted, and returns what is to be called then without
// the lock, which is held.
func (m *mirror) showArrived() (then func()) {
	a := m.arrived
	if a == nil || !a.read || a.admitted == nil {
		return nil
	}
	a.take()
	m.arrived = nil
	m.change(func(s *state) {
		s.identity, s.connected = a.identity, true
		for q := range inventory.Queries {
			m.take(s, q, &a.told[q])
		}
	})
	m.keepPace()
	return a.admitted
}

// take puts what was read of a query into a state. The lock is held.
func (m *mirror) take(s *state, q int, t *told) {
	s.readings[q] = newReading(m.layout.kinds[q], m.complete(q, t), s.readings[q])
	m.note(q, t)
}

// complete is what was read of a query, with what is known besides; it notes whether that moves. The lock is held.
func (m *mirror) complete(q int, t *told) inventory.Reading {
	now := t.reading
	m.moving &^= inventory.SetOf(q)
	if now.Moving {
		m.moving |= inventory.SetOf(q)
	}
	if t.err == nil {
		now = m.known[q].Complete(now)
	}
	if q == inventory.Jobs {
		now = m.ledger.Read(now)
	}
	return now
}

// note logs what could not be read: once until it can be again, and each time that this has happened twice as often, since QEMU
// decides how often.
func (m *mirror) note(q int, t *told) {
	query, left := &inventory.Queries[q], t.reading.Left
	err := cmp.Or(t.err, t.gap)
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
