package helper

import (
	"strings"
	"sync"
	"time"
)

// When the queue is read after a change: the first time after minPause, which bounds how often that can be, and then again
// after twice as long each time, up to maxPause.
const (
	minPause = 50 * time.Millisecond
	maxPause = 30 * time.Second
)

// pace is when the queue is read, and who has gone since. It has a lock of its own, so that who tells of changes waits for
// nobody who reads or shows.
type pace struct {
	timer *time.Timer

	mu      sync.Mutex // guards what follows; held for a few steps
	stopped bool
	pause   time.Duration // from the next reading to the one after it
	due     time.Time     // when that is; zero: after none
	gone    []string
}

// newPace has wake called when there is something to take.
func newPace(wake func()) *pace {
	p := &pace{pause: minPause}
	p.timer = time.AfterFunc(maxPause, wake)
	p.timer.Stop()
	return p
}

// hurry has the queue read soon.
func (p *pace) hurry() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pause = minPause
	p.within(minPause)
}

// slow has it read again, and the time after that later.
func (p *pace) slow() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.within(p.pause)
	p.pause = min(2*p.pause, maxPause)
}

// note notes who has gone.
func (p *pace) note(unique string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		return
	}
	p.gone = append(p.gone, strings.Clone(unique))
	p.set(0)
}

// take returns who has gone, and whether the queue is to be read now.
func (p *pace) take() (gone []string, due bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	gone, p.gone = p.gone, nil
	if p.due.IsZero() {
		return gone, false
	}
	left := time.Until(p.due)
	if left > 0 {
		p.set(left)
		return gone, false
	}
	p.due = time.Time{}
	return gone, true
}

func (p *pace) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
	p.timer.Stop()
}

// within has the queue read in that time, if that is not to be earlier. The lock is held.
func (p *pace) within(pause time.Duration) {
	due := time.Now().Add(pause)
	if !p.due.IsZero() && p.due.Before(due) {
		return
	}
	p.due = due
	if len(p.gone) == 0 { // else it wakes at once
		p.set(pause)
	}
}

func (p *pace) set(pause time.Duration) {
	if !p.stopped {
		p.timer.Reset(pause)
	}
}
