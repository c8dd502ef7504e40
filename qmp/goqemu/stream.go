package goqemu

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	goqemu "github.com/digitalocean/go-qemu/qmp"
)

// What may wait in a channel of Events for its reader.
const (
	MaxEvents     = 1024
	MaxEventBytes = 16 << 20 // of their data as JSON
)

// EventLost is the name of the event that tells of others that were dropped; its data is {"count": n}. QEMU has none of that name.
const EventLost = "LOST"

// event is one that waits. Its data is not changed any more, so that streams can share it.
type event struct {
	name      string // of QMP; empty where only member is known
	member    string // of a signal
	data      []byte // a JSON object, or nil
	timestamp int64  // in microseconds, -1 if there is none
	lost      uint64 // of EventLost: how many it tells of; else 0
}

// lostEvents is what tells of n lost ones.
func lostEvents(n uint64) event {
	return event{name: EventLost, data: fmt.Appendf(nil, `{"count":%d}`, n), timestamp: -1, lost: n}
}

// stream is what waits for one reader of events. Who tells events is never made to wait.
type stream struct {
	nameOf func(member string) string // for events without a name; set before they are delivered

	mu      sync.Mutex // guards what follows, between who tells and who delivers
	waiting []event
	bytes   int    // of their data
	lost    uint64 // since they came
	ended   bool
	wake    chan struct{} // has one as soon as there is something new
}

func newStream() *stream {
	return &stream{nameOf: func(member string) string { return member }, wake: make(chan struct{}, 1)}
}

// push adds an event, or drops and counts it. Once some are missing nothing is added before the reader was told.
func (s *stream) push(e event) {
	s.change(func() {
		if s.lost > 0 || len(s.waiting) >= MaxEvents || s.bytes+len(e.data) > MaxEventBytes {
			s.lost += max(e.lost, 1)
			return
		}
		s.waiting = append(s.waiting, e)
		s.bytes += len(e.data)
	})
}

// end has the reader told of the end when it has taken all that waits.
func (s *stream) end() { s.change(func() { s.ended = true }) }

// change does what f does, unless the end has come, and wakes the reader.
func (s *stream) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	f()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// deliver gives what comes to out until there is no more or ctx ends, and then closes that.
func (s *stream) deliver(ctx context.Context, out chan<- goqemu.Event) {
	defer close(out)
	for {
		e, found, ended := s.next()
		if found {
			select {
			case out <- s.decode(e):
			case <-ctx.Done():
				return
			}
			continue
		}
		if ended {
			return
		}
		select {
		case <-s.wake:
		case <-ctx.Done():
			return
		}
	}
}

// next takes what waits first; after all that, what was lost.
func (s *stream) next() (e event, found, ended bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.waiting) > 0 {
		e, s.waiting[0] = s.waiting[0], event{}
		s.waiting = s.waiting[1:]
		s.bytes -= len(e.data)
		return e, true, s.ended
	}
	s.waiting = nil
	if n := s.lost; n > 0 {
		s.lost = 0
		return lostEvents(n), true, s.ended
	}
	return event{}, false, s.ended
}

// decode makes go-qemu's event, with data of the same Go types as SocketMonitor's: it is the same package that reads the JSON.
func (s *stream) decode(e event) goqemu.Event {
	if e.name == "" {
		e.name = s.nameOf(e.member)
	}
	made := goqemu.Event{Event: e.name}
	if e.data != nil && json.Unmarshal(e.data, &made.Data) != nil {
		made.Data = nil // it can't be: this is valid JSON
	}
	made.Timestamp.Seconds, made.Timestamp.Microseconds = -1, -1 // as QEMU says it
	if e.timestamp >= 0 {
		made.Timestamp.Seconds, made.Timestamp.Microseconds = e.timestamp/1_000_000, e.timestamp%1_000_000
	}
	return made
}
