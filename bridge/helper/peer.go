package helper

import (
	"errors"
	"fmt"
	"time"
)

// peer is a connection that queues, or has a name. Follower.mu guards it.
type peer struct {
	unique, name string
	queued       bool
	uid          uint32
	identified   bool // uid is known
	looked       bool // it is being looked up
	admitted     bool // within the limits

	wanted  bool // it is to be asked for its Id, unless it is already
	asked   bool // it has not answered yet
	late    bool // nor within Patience
	settled bool // it has answered, or is late; until it is for the first time it is not shown
	id      string
	untold  string      // why it has told none
	timer   *time.Timer // makes it late
	asks    int         // how often it was asked
}

// identify finds out whose connection it is. What fails is tried again when the queue is read again.
func (f *Follower) identify(p *peer) {
	if p.identified || p.looked {
		return
	}
	uid, err := f.config.Bus.UID(p.unique, func() {
		f.do(func() {
			p.looked = false
			if f.peers[p.unique] == p {
				f.identify(p)
			}
		})
	})
	p.uid, p.identified, p.looked = uid, err == nil, errors.Is(err, ErrPending)
}

// What is said of one that has told no Id.
const (
	isLate  = "no answer"
	isEmpty = "no Id: it is empty"
	isOver  = "not asked: others of its user do not answer"
)

// ask asks it for its Id if it is to be asked. There is one question at a time, until it answers or leaves the bus, and MaxOpen of
// a user: one beyond that has told none until the queue is read again.
func (f *Follower) ask(p *peer) {
	if !p.wanted || p.asked {
		return
	}
	if f.openOf(p.uid) >= MaxOpen {
		p.wanted, p.settled, p.id, p.untold = false, true, "", isOver
		return
	}
	p.wanted, p.asked, p.late = false, true, false
	f.open[p.unique] = p
	p.asks++
	asks := p.asks
	p.timer = time.AfterFunc(Patience, func() {
		f.do(func() {
			if p.asked && p.asks == asks {
				p.beLate()
			}
		})
	})
	err := f.config.Bus.ID(p.unique, func(id string, err error) { f.do(func() { f.told(p, id, err) }) })
	if err != nil {
		f.told(p, "", err)
	}
}

// openOf is how many questions a user has to answer.
func (f *Follower) openOf(uid uint32) (n int) {
	for _, p := range f.open {
		if p.uid == uid {
			n++
		}
	}
	return n
}

// beLate has one that has a question to answer be one without an Id until it does.
func (p *peer) beLate() { p.late, p.settled, p.id, p.untold = true, true, "", isLate }

// told takes its answer in, unless it has gone.
func (f *Follower) told(p *peer, id string, err error) {
	p.timer.Stop()
	p.wanted, p.asked, p.late = false, false, false
	if f.open[p.unique] == p {
		delete(f.open, p.unique)
	}
	if errors.Is(err, ErrDenied) && !f.denied {
		f.denied = true
		f.config.Log.Warn("the Id of a helper can't be read: the bus, unless it is the helper itself, must let the bridge's user call Properties.Get at "+VMStatePath, "helper", p.unique)
	}
	if !p.queued || f.peers[p.unique] != p {
		return
	}
	p.settled, p.id, p.untold = true, "", ""
	switch {
	case err != nil:
		p.untold = "no Id: " + err.Error()
	case len(id) > MaxID:
		p.untold = fmt.Sprintf("no Id: it has %d bytes, over %d", len(id), MaxID)
	case id == "":
		p.untold = isEmpty
	default:
		p.id = id
	}
}

// drop forgets one that has gone, but for the question that it has to answer: should it queue again, it is late.
func (f *Follower) drop(p *peer) {
	delete(f.peers, p.unique)
	if p.timer != nil {
		p.timer.Stop()
	}
	if p.asked {
		p.beLate()
	}
}
