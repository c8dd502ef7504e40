package qmp_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"qmp-dbus-bridge/qmp"
	"qmp-dbus-bridge/qmp/fdtest"
	"qmp-dbus-bridge/qmp/qmptest"
)

// The pauses double between the limits, each shortened by at most half.
func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var tries []time.Time
		r := qmp.Redialer{Dial: func(context.Context) (*qmp.Conn, error) {
			if tries = append(tries, time.Now()); len(tries) == 12 {
				cancel()
			}
			return nil, errors.New("nobody there")
		}}
		if err := r.Run(ctx, nil); err != context.Canceled {
			t.Errorf("Run = %v, want context.Canceled", err)
		}
		full := qmp.MinBackoff
		for i := 1; i < len(tries); i++ {
			if pause := tries[i].Sub(tries[i-1]); pause < full/2 || pause > full {
				t.Errorf("pause %d = %v, want %v to %v", i, pause, full/2, full)
			}
			full = min(2*full, qmp.MaxBackoff)
		}
	})
}

func TestBackoffCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), qmp.MinBackoff/4)
		defer cancel()
		began := time.Now()
		r := qmp.Redialer{Dial: func(context.Context) (*qmp.Conn, error) { return nil, errors.New("no") }}
		if err := r.Run(ctx, nil); err != context.DeadlineExceeded || time.Since(began) != qmp.MinBackoff/4 {
			t.Errorf("Run = %v after %v", err, time.Since(began))
		}
	})
}

func TestRedialerLogsReasonsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var text log
		n := 0
		r := qmp.Redialer{Logger: text.logger(), Dial: func(context.Context) (*qmp.Conn, error) {
			if n++; n == 20 {
				cancel()
			}
			return nil, errors.New([]string{"first reason", "second reason"}[n/10%2])
		}}
		r.Run(ctx, nil)
		if a, b := strings.Count(text.String(), "first reason"), strings.Count(text.String(), "second reason"); a != 1 || b != 1 {
			t.Errorf("logged %d and %d times:\n%s", a, b, text.String())
		}
	})
}

// dialing makes a Redialer's Dial for a socket.
func dialing(path string) func(context.Context) (*qmp.Conn, error) {
	return func(ctx context.Context) (*qmp.Conn, error) { return qmp.Dial(ctx, qmp.Address(path), qmp.Options{}) }
}

func TestRedialer(t *testing.T) {
	fdtest.Check(t)
	path := t.TempDir() + "/qmp"
	l := qmptest.ListenAt(t, path, qmptest.Options{}, qmptest.Answers{"a": "{}"}.Handle)
	up, down := make(chan *qmp.Conn, 9), make(chan error, 9)
	r := qmp.Redialer{Dial: dialing(path)}
	r.Up = func(ctx context.Context, c *qmp.Conn) error {
		_, err := c.Execute(ctx, qmp.Command{Name: "a"})
		up <- c
		return err
	}
	r.Down = func(err error) { down <- err }
	first, err := qmp.Dial(context.Background(), qmp.Address(path), qmp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- r.Run(ctx, first) }()
	if c := receive(t, up); c != first {
		t.Error("the first Conn was not used")
	}
	for range 2 {
		l.Close() // QEMU is killed
		if err := receive(t, down); !errors.Is(err, qmp.ErrClosed) {
			t.Errorf("down: %v, want ErrClosed", err)
		}
		l = qmptest.ListenAt(t, path, qmptest.Options{}, qmptest.Answers{"a": "{}"}.Handle)
		if c := receive(t, up); c.Err() != nil {
			t.Errorf("handed out with %v", c.Err())
		}
	}
	cancel()
	if err := receive(t, ended); err != context.Canceled {
		t.Errorf("Run = %v, want context.Canceled", err)
	}
	if err := receive(t, down); err != context.Canceled {
		t.Errorf("down: %v, want context.Canceled", err)
	}
}

// When Up fails the Conn is closed and another one made.
func TestRedialerUpFails(t *testing.T) {
	fdtest.Check(t)
	l := qmptest.Listen(t, qmptest.Options{}, qmptest.Answers{}.Handle)
	ctx, cancel := context.WithCancel(context.Background())
	r := qmp.Redialer{Dial: dialing(l.Path)}
	var conns []*qmp.Conn
	r.Up = func(_ context.Context, c *qmp.Conn) error {
		if conns = append(conns, c); len(conns) == 3 {
			cancel()
		}
		return errors.New("not good enough")
	}
	if err := r.Run(ctx, nil); err != context.Canceled {
		t.Errorf("Run = %v", err)
	}
	for _, c := range conns {
		if c.Err() != qmp.ErrClosed {
			t.Errorf("Err = %v, want ErrClosed", c.Err())
		}
	}
}

// Once is for what can't be dialled again.
func TestRedialerOnce(t *testing.T) {
	fdtest.Check(t)
	qemu, s := qmptest.Start(t, qmptest.Options{}, qmptest.Answers{}.Handle)
	c, err := qmp.Open(context.Background(), s, qmp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r := qmp.Redialer{Once: true}
	r.Up = func(context.Context, *qmp.Conn) error {
		qemu.Hangup()
		return nil
	}
	if err := r.Run(context.Background(), c); !errors.Is(err, qmp.ErrClosed) {
		t.Errorf("Run = %v, want ErrClosed", err)
	}
}
