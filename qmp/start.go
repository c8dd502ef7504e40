package qmp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/go-json-experiment/json/jsontext"

	"qmp-dbus-bridge/qmp/socket"
)

// Start sends cmd, or queues it if that can't be now, and returns at once. Then done
// is called exactly once, with QEMU's answer or the reason why there is none:
// on the reader's goroutine, or, if cmd is refused here (impossible, past a limit, or
// after the end), on the caller's before Start returns, so don't hold a lock
// that done takes. It must not block, and must not call Execute or Close; it may call
// Start.
func (c *Conn) Start(cmd Command, done func(Reply)) {
	if done == nil {
		done = func(Reply) {}
	}
	err := cmd.check()
	if err == nil {
		c.mu.Lock()
		err = c.admit(call{Command: cmd, done: done, lane: c.lane(&cmd), quit: cmd.Name == "quit"})
		c.mu.Unlock()
	} else {
		closeAll(cmd.FDs)
	}
	if err != nil {
		done(Reply{Err: err})
	}
}

// Execute is Start that waits, and gives a copy of what QEMU returned. When
// ctx ends first it returns ctx's error, but the command is not taken back: QEMU may
// have executed it, or will. It must not be called from a callback.
func (c *Conn) Execute(ctx context.Context, cmd Command) (jsontext.Value, error) {
	if err := ctx.Err(); err != nil {
		closeAll(cmd.FDs)
		return nil, err
	}
	replies := make(chan Reply, 1) // nobody may be left to take it
	c.Start(cmd, func(r Reply) {
		r.Return = bytes.Clone(r.Return)
		replies <- r
	})
	select {
	case r := <-replies:
		return r.Return, r.Err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (c *Conn) lane(cmd *Command) *lane {
	if cmd.OOB && c.oob {
		return &c.calls.oob
	}
	return &c.calls.inBand
}

// admit sends k, or has it wait, or refuses it; it owns the file descriptors. The
// lock is held.
func (c *Conn) admit(k call) error {
	err := c.err
	switch {
	case err != nil:
	case len(k.lane.waiting) == 0 && c.calls.ready(&k):
		return c.send(&k)
	default:
		err = c.calls.wait(k)
	}
	if err != nil {
		closeAll(k.FDs)
	}
	return err
}

// send writes k's request. An error means that nothing was sent and that the
// connection is as it was. If the socket is no longer good the reader will soon say
// why, and fails k with all others. The lock is held.
func (c *Conn) send(k *call) error {
	id := c.calls.claim(k)
	c.request = appendRequest(c.request[:0], &k.Command, k.lane == &c.calls.oob, id)
	err := c.socket.Send(c.request, k.FDs)
	if cap(c.request) > keepRequest {
		c.request = nil
	}
	slot := &c.calls.slots[id]
	slot.Arguments, slot.FDs, slot.sent = nil, nil, err == nil
	if err == nil || errors.Is(err, net.ErrClosed) {
		return nil
	}
	c.calls.release(id)
	if errors.Is(err, socket.ErrFull) {
		err = fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}

// refusal is a call that turned out impossible when its turn came.
type refusal struct {
	done func(Reply)
	err  error
}

// advance sends what waited and may be sent now. The lock is held; the refused
// are to be told when it is not.
func (c *Conn) advance() []refusal {
	var refused []refusal
	for _, l := range []*lane{&c.calls.inBand, &c.calls.oob} {
		for c.calls.waiting > 0 {
			k, ok := c.calls.next(l)
			if !ok {
				break
			}
			if err := c.send(&k); err != nil {
				refused = append(refused, refusal{k.done, err})
			}
		}
	}
	return refused
}
