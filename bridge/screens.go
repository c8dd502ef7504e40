package bridge

import (
	"sync"

	"qmp-dbus-bridge/qmp"
)

// screens has screenshots taken one after another. QEMU executes one command at a time anyway; so the memory that they take
// is that of one, and QEMU has at most one file of ours. Who waits keeps its place for commands meanwhile.
type screens struct {
	bridge   *Bridge
	prints   *prints
	printing sync.WaitGroup // the goroutine that makes a caller's picture

	mu        sync.Mutex // guards all below; held for a few steps, and to close kept
	busy      bool       // a shot is on its way
	beginning bool       // and whoever began it is not back yet
	waiting   []*request // in their order; each has a place for commands, so they are fewer than inTurn.All
	kept      *canvas    // that QEMU has between two shots; see fdpass.Holdings.KeepsRemoved
}

func newScreens(b *Bridge) *screens {
	return &screens{bridge: b, prints: newPrints()}
}

// take takes a screenshot for r, which is allowed, and ends it.
func (s *screens) take(r *request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = append(s.waiting, r)
	s.advance()
}

// next begins the next one after one has ended.
func (s *screens) next() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy = false
	s.advance()
}

// advance begins shots as long as they end at once. One that does comes back here meanwhile, and leaves the rest to that: however many
// are refused one after another, none is within another. It is called, and returns, with mu held.
func (s *screens) advance() {
	for !s.busy && !s.beginning && len(s.waiting) > 0 {
		r := s.waiting[0]
		s.waiting = s.waiting[1:]
		s.busy, s.beginning = true, true
		s.mu.Unlock()
		(&shot{request: r, screens: s}).begin()
		s.mu.Lock()
		s.beginning = false
	}
}

// takeKept gives the fdset that this QEMU has already, or nil.
func (s *screens) takeKept(monitor *qmp.Conn) *canvas {
	s.mu.Lock()
	defer s.mu.Unlock()
	set := s.kept
	s.kept = nil
	if set != nil && set.monitor != monitor {
		s.drop(set)
		return nil
	}
	return set
}

// keepFor keeps an fdset for the next shot, emptied, unless its QEMU has gone.
func (s *screens) keepFor(set *canvas) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if set.Empty() != nil || set.monitor != s.bridge.monitor() {
		s.drop(set)
		return
	}
	s.kept = set
}

// drop lets go of a canvas that no shot will have.
func (s *screens) drop(set *canvas) {
	_ = set.Close() // nothing depends on what was in it
	set.passed.Drop()
}

// disconnect lets go of what was kept for a QEMU that has gone, after that is known to all.
func (s *screens) disconnect() { s.takeKept(nil) }

// close ends what is left. Nothing begins any more.
func (s *screens) close() {
	s.printing.Wait()
	s.disconnect()
	s.prints.close()
}
