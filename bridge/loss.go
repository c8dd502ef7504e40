package bridge

import (
	"sync"

	"qmp-dbus-bridge/schema/wire"
)

// losses counts the signals that the bus did not take, until it takes the one that
// announces them.
type losses struct {
	announce func(n uint64) error

	// mu guards count. It is held while announcing too: then either the announcement is
	// taken, or the bus is still held up and tell is called when that ends.
	mu    sync.Mutex
	count uint64
}

// add counts a signal that was dropped.
func (l *losses) add() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count++
	l.try()
}

// tell announces what was lost, if anything and if that can be.
func (l *losses) tell() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.try()
}

// try wants the lock held.
func (l *losses) try() {
	if l.count > 0 && l.announce(l.count) == nil {
		l.count = 0
	}
}

// announceLost tells that n signals had to be dropped.
func (b *Bridge) announceLost(n uint64) error {
	err := b.signal("", b.paths.qmp, interfaceEvents, memberLost, "t", func(e *wire.Encoder) error {
		e.Uint64(n)
		return nil
	})
	if err == nil {
		b.log.Warn("events were lost, because the bus did not take them", "count", n)
	}
	return err
}
