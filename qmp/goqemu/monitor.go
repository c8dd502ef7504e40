package goqemu

import (
	"context"
	"errors"
	"sync"

	goqemu "github.com/digitalocean/go-qemu/qmp"
)

var _ goqemu.Monitor = (*Monitor)(nil)

// Monitor is a qmp.Monitor of go-qemu. Make one with [Bus], [BusConn] or [Direct]. Its methods may be called from anywhere.
type Monitor struct {
	open func(*session) (link, error)

	mu      sync.Mutex // keeps Connect and Disconnect apart, so it is held as long as they take
	session *session   // nil while not connected
}

// link is a way to QEMU.
type link interface {
	// run gives what the command returned, as JSON that is the caller's.
	run(context.Context, command) ([]byte, error)

	// watch has events come to the stream, which has been opened.
	watch(context.Context, *stream) error

	// close ends it; nothing runs or watches any more.
	close()
}

var errNotConnected = errors.New("the monitor is not connected: call Connect first")

// Connect reaches QEMU, or the bridge. It waits for as long as the options say.
func (m *Monitor) Connect() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.session != nil {
		return errors.New("the monitor is connected already")
	}
	s := newSession()
	l, err := m.open(s)
	if err != nil {
		s.close()
		return err
	}
	s.link = l
	m.session = s
	return nil
}

// Disconnect ends all that Run and Events began. Without a connection it does nothing.
func (m *Monitor) Disconnect() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.session; s != nil {
		m.session = nil
		s.close()
		s.link.close()
	}
	return nil
}

// Run executes a command and returns QEMU's answer, {"return": ...}; the package's comment tells which errors there are.
func (m *Monitor) Run(text []byte) ([]byte, error) {
	s, err := m.current()
	if err != nil {
		return nil, err
	}
	c, err := parseCommand(text)
	if err != nil {
		return nil, err
	}
	returned, err := s.link.run(s.ctx, c)
	if err != nil {
		return nil, s.explain(err)
	}
	return c.answer(returned), nil
}

// Events gives a channel of all events from now on, until ctx ends; it may be called several times, and each channel gets
// all. It is never closed with events in it, unless ctx ends or Disconnect is called.
func (m *Monitor) Events(ctx context.Context) (<-chan goqemu.Event, error) {
	s, err := m.current()
	if err != nil {
		return nil, err
	}
	events, err := s.events(ctx)
	if err != nil {
		return nil, s.explain(err)
	}
	return events, nil
}

func (m *Monitor) current() (*session, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.session == nil {
		return nil, errNotConnected
	}
	return m.session, nil
}
