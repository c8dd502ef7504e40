package qmp

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"
)

// The pause before another try to connect: the first, and what doubling leads to. The
// actual one is between half of that and all, by chance, so that the bridges of a
// host don't all try at once.
const (
	MinBackoff = 50 * time.Millisecond
	MaxBackoff = 2 * time.Second
)

// Redialer keeps one Conn alive: it dials, hands the Conn out, waits for its end, and
// dials again. Nothing is sent again by itself.
type Redialer struct {
	// Dial makes a Conn.
	Dial func(context.Context) (*Conn, error)

	// Once has Run return when the first Conn has ended or can't be had.
	Once bool

	// Up, if set, gets each new Conn, on Run's goroutine: Down and the next Conn come
	// only after it returned. If it fails the Conn is closed and Run tries again.
	Up func(context.Context, *Conn) error

	// Down, if set, is called when a Conn that Up was called with has ended.
	Down func(error)

	// Logger gets why there is no Conn, once for each new reason; nil means nobody.
	Logger *slog.Logger
}

// Run works until ctx ends, and then returns its error; the Conn is closed, and Down
// was called. With Once it returns why the Conn ended or could not be had.
// first, if it is not nil, is a Conn to begin with, which Run then owns.
func (r *Redialer) Run(ctx context.Context, first *Conn) error {
	var pause backoff
	var last string
	for c := first; ; c = nil {
		lived, err := r.live(ctx, c)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case r.Once:
			return err
		case lived >= MaxBackoff:
			pause = backoff{}
		}
		if text := err.Error(); text != last && r.Logger != nil {
			r.Logger.Warn("no QMP connection; trying again", "error", text)
			last = text
		}
		if !sleep(ctx, pause.next()) {
			return ctx.Err()
		}
	}
}

// live gets a Conn, unless it has one, and returns when that has ended, with
// how long it was there and the reason.
func (r *Redialer) live(ctx context.Context, c *Conn) (time.Duration, error) {
	if c == nil {
		var err error
		if c, err = r.Dial(ctx); err != nil {
			return 0, err
		}
	}
	began := time.Now()
	err := r.serve(ctx, c)
	c.Close()
	if r.Down != nil {
		r.Down(err)
	}
	return time.Since(began), err
}

func (r *Redialer) serve(ctx context.Context, c *Conn) error {
	if r.Up != nil {
		if err := r.Up(ctx, c); err != nil {
			return err
		}
	}
	select {
	case <-c.Done():
		return c.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// backoff gives the pauses between tries.
type backoff struct{ last time.Duration }

func (b *backoff) next() time.Duration {
	b.last = min(max(2*b.last, MinBackoff), MaxBackoff)
	return b.last/2 + rand.N(b.last/2+1)
}

// sleep tells whether ctx lasted as long.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
