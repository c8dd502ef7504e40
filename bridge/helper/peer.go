package helper

import "time"

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
	p.uid, p.identified, p.looked = uid, err == nil, err == ErrPending
}

// ask asks it for its Id if it is to be asked. There is one question at a time.
func (f *Follower) ask(p *peer) {
	if !p.wanted || p.asked {
		return
	}
	p.wanted, p.asked, p.late = false, true, false
	p.asks++
	asks := p.asks
	p.timer = time.AfterFunc(Patience, func() {
		f.do(func() {
			if p.asked && p.asks == asks {
				p.late, p.settled, p.id = true, true, ""
			}
		})
	})
	err := f.config.Bus.ID(p.unique, func(id string, err error) { f.do(func() { f.told(p, id, err) }) })
	if err != nil {
		f.told(p, "", err)
	}
}

// told takes its answer in, unless it has gone.
func (f *Follower) told(p *peer, id string, err error) {
	p.timer.Stop()
	p.wanted, p.asked, p.late = false, false, false
	if !p.queued || f.peers[p.unique] != p {
		return
	}
	p.settled, p.id = true, ""
	if err == nil && len(id) <= MaxID {
		p.id = id
	}
}

// drop forgets one that has gone. An answer that still comes is not about anybody.
func (f *Follower) drop(p *peer) {
	delete(f.peers, p.unique)
	if p.timer != nil {
		p.timer.Stop()
	}
	p.asked = false
}
