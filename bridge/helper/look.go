package helper

import (
	"cmp"
	"slices"
	"time"
)

// lookPatience is how long a look may take: the bus and the lookup of users have as long as the helpers.
const lookPatience = 2 * Patience

// View is what a look has found.
type View struct {
	Known bool    // the queue could be read; else Queue has nobody
	Queue []Sight // who queues, in that order, within the limits
	// Unseen is how many queue besides: they are beyond the limits, or it is not known whose they are.
	Unseen int
}

// Sight is one that queues; Element is empty.
type Sight struct {
	Helper
	Untold string // why it has told no Id, as "no answer"; empty if it has
}

// look is somebody who waits for one.
type look struct {
	then   func(View)
	begun  bool // the queue is asked for, since
	listed bool // it has answered
	over   bool // its time
	timer  *time.Timer
}

// Look reads the queue anew, has each who queues tell its Id anew, and calls then with that when all have or are late; with
// View{} when it is closed. then is called without any lock, perhaps before Look returns, and must not block.
func (f *Follower) Look(then func(View)) {
	l := &look{then: then}
	begun := false
	f.do(func() {
		begun = true
		f.looks = append(f.looks, l)
		l.timer = time.AfterFunc(lookPatience, func() { f.do(func() { l.over = true }) })
		f.read()
	})
	if !begun { // it is closed
		then(View{})
	}
}

// finish takes out those who look and have waited long enough, and returns what tells them.
func (f *Follower) finish() (told []func()) {
	var view View
	view.Known, view.Unseen = true, f.beyond
	for _, p := range f.order {
		switch {
		case !p.queued:
		case p.admitted && p.identified:
			view.Queue = append(view.Queue, p.sight())
		default:
			view.Unseen++
		}
	}
	answered := !slices.ContainsFunc(f.order, (*peer).awaited)
	f.looks = slices.DeleteFunc(f.looks, func(l *look) bool {
		if !l.over && !f.closed && (!l.listed || !answered) {
			return false
		}
		l.timer.Stop()
		known := View{}
		if l.listed && !f.unread && !f.closed {
			known = view
		}
		told = append(told, func() { l.then(known) })
		return true
	})
	return told
}

// sight is what is seen of it.
func (p *peer) sight() Sight {
	s := Sight{Helper: Helper{Unique: p.unique, BusName: p.name, UID: p.uid, ID: p.id}}
	if p.id == "" {
		s.Untold = cmp.Or(p.untold, isLate)
	}
	return s
}

// awaited tells whether one who queues may still tell something in time.
func (p *peer) awaited() bool {
	return p.queued && (p.looked || p.identified && p.admitted && (p.asked && !p.late || p.wanted && !p.asked))
}
