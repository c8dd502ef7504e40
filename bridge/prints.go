package bridge

import (
	"slices"
	"sync"
	"time"

	"qmp-dbus-bridge/bridge/picture"
)

// How many screenshots may be there: on the way, with the bus that does not get rid of them, and with callers. Their memory is
// accounted to the bridge; and dbus-daemon stops reading from who has 256 descriptors on the way (bus.maxQueuedFDs).
const (
	maxPrintsOfUser = 8
	maxPrints       = 32
)

// sweepPace is how often those are looked for that nobody has any more, while there are any.
const sweepPace = time.Second

// prints are the screenshots that callers have been given, as long as somebody has them.
type prints struct {
	sweeper *time.Timer // has sweep called

	mu     sync.Mutex // guards all below; held for one or two system calls a print
	held   []held
	closed bool
}

// held is one, and who asked for it.
type held struct {
	*picture.Print
	uid uint32
}

func newPrints() *prints {
	p := new(prints)
	p.sweeper = time.AfterFunc(sweepPace, p.sweep)
	p.sweeper.Stop()
	return p
}

// room tells why a user may not have one more, nil if it may.
func (p *prints) room(uid uint32) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drop()
	ofUser := 0
	for _, h := range p.held {
		if h.uid == uid {
			ofUser++
		}
	}
	switch {
	case ofUser >= maxPrintsOfUser:
		return failuref(errLimits, "%d screenshots of your user are open; close their descriptors", ofUser)
	case len(p.held) >= maxPrints:
		return failuref(errLimits, "too many screenshots are open; try again later")
	}
	return nil
}

// add notes one that a user is about to get.
func (p *prints) add(uid uint32, one *picture.Print) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = append(p.held, held{one, uid})
	if p.closed {
		p.clear()
		return
	}
	p.sweeper.Reset(sweepPace)
}

// sweep lets go of those that nobody has any more, and looks again if there are others.
func (p *prints) sweep() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drop()
	if len(p.held) > 0 {
		p.sweeper.Reset(sweepPace)
	}
}

// drop lets go of those that nobody has. The lock is held.
func (p *prints) drop() {
	p.held = slices.DeleteFunc(p.held, func(h held) bool {
		if h.Held() {
			return false
		}
		_ = h.Close() // what was in it was the caller's
		return true
	})
}

// close lets go of all, for good.
func (p *prints) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.sweeper.Stop()
	p.clear()
}

// clear lets go of all. The lock is held.
func (p *prints) clear() {
	for _, h := range p.held {
		_ = h.Close()
	}
	p.held = nil
}
