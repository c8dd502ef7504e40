package qmp_test

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"qmp-dbus-bridge/qmp"
	"qmp-dbus-bridge/qmp/fdtest"
	"qmp-dbus-bridge/qmp/qmptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what should come at once, on a machine with other work.
const patience = time.Minute

// open gives a Conn to a fake QEMU. At the test's end no file descriptor may be left.
func open(t testing.TB, options qmp.Options, handler qmptest.Handler) (*qmp.Conn, *qmptest.QEMU) {
	t.Helper()
	fdtest.Check(t)
	qemu, s := qmptest.Start(t, qmptest.Options{}, handler)
	c, err := qmp.Open(context.Background(), s, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, qemu
}

// requests is a handler that hands the requests to the test.
func requests() (chan *qmptest.Request, qmptest.Handler) {
	ch := make(chan *qmptest.Request, 2000)
	return ch, func(_ *qmptest.QEMU, r *qmptest.Request) { ch <- r }
}

// receive takes from a channel, but not for ever.
func receive[T any](t testing.TB, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatal("nothing came")
		panic("not reached")
	}
}

// nothing checks that a channel stays empty for a moment.
func nothing[T any](t testing.TB, ch <-chan T, what string) {
	t.Helper()
	select {
	case v := <-ch:
		t.Errorf("%s: %v", what, v)
	case <-time.After(20 * time.Millisecond):
	}
}

// outcome is a reply that can be kept.
type outcome struct {
	Return string
	Err    error
}

// start starts a command; its reply comes from the channel, which has room for
// more, to notice a second one.
func start(c *qmp.Conn, cmd qmp.Command) <-chan outcome {
	ch := make(chan outcome, 3)
	c.Start(cmd, func(r qmp.Reply) { ch <- outcome{string(r.Return), r.Err} })
	return ch
}

// log is a place for a logger to write to.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *log) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }
