package goqemu

import (
	"context"
	"errors"
	"fmt"
	"sync"

	goqemu "github.com/digitalocean/go-qemu/qmp"

	"qmp-dbus-bridge/qmp"
)

// session is what there is between Connect and Disconnect.
type session struct {
	link link
	// ctx ends with the session. It is kept because a qmp.Monitor's Run is given none.
	ctx    context.Context
	cancel context.CancelFunc

	mu      sync.Mutex // guards what follows, between Events, Disconnect and who tells events
	closed  bool
	streams map[*stream]bool
	running sync.WaitGroup // is added to under mu while not closed, so that it can be waited for
}

func newSession() *session {
	ctx, cancel := context.WithCancel(context.Background())
	return &session{ctx: ctx, cancel: cancel, streams: map[*stream]bool{}}
}

// start runs f on a goroutine that close waits for; false if it is too late.
func (s *session) start(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.running.Go(f)
	}
	return !s.closed
}

// close ends and joins all that was started.
func (s *session) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.running.Wait()
}

// explain makes an error that Disconnect causes one that says so.
func (s *session) explain(err error) error {
	if s.ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, qmp.ErrClosed)) {
		return fmt.Errorf("%w by Disconnect", qmp.ErrClosed)
	}
	return err
}

// events opens a stream and has it delivered.
func (s *session) events(ctx context.Context) (<-chan goqemu.Event, error) {
	ctx, cancel := s.join(ctx)
	one := newStream()
	s.add(one)
	err := s.link.watch(ctx, one)
	if err == nil {
		err = ctx.Err()
	}
	out := make(chan goqemu.Event)
	deliver := func() {
		defer cancel()
		defer s.remove(one)
		one.deliver(ctx, out)
	}
	if err == nil && !s.start(deliver) {
		err = s.ctx.Err()
	}
	if err != nil {
		s.remove(one)
		cancel()
		return nil, err
	}
	return out, nil
}

// join gives a context that ends with ctx and with the session.
func (s *session) join(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(s.ctx, cancel)
	return ctx, func() {
		stop()
		cancel()
	}
}

func (s *session) add(one *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.streams[one] = true
}

func (s *session) remove(one *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.streams, one)
}

// watched tells whether anybody wants events.
func (s *session) watched() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.streams) > 0
}

// tell gives an event to all streams. It does not block.
func (s *session) tell(e event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for one := range s.streams {
		one.push(e)
	}
}

// end tells all streams that no more events come to them.
func (s *session) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for one := range s.streams {
		one.end()
	}
}
