package qmp_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/qmp"
	"qmp-dbus-bridge/qmp/fdtest"
	"qmp-dbus-bridge/qmp/qmptest"
	"qmp-dbus-bridge/qmp/socket"
)

func TestFDsSent(t *testing.T) {
	c, _ := open(t, qmp.Options{}, func(_ *qmptest.QEMU, r *qmptest.Request) {
		if len(r.Files) != 2 {
			t.Errorf("%s came with %d file descriptors, want 2", r.Name, len(r.Files))
		}
		for _, f := range r.Files {
			if _, err := f.WriteString("x"); err != nil {
				t.Error(err)
			}
			f.Close()
		}
		r.Return("{}")
	})
	for _, name := range []string{"getfd", "add-fd"} {
		w1, r1 := fdtest.Pipe(t)
		w2, r2 := fdtest.Pipe(t)
		if _, err := c.Execute(context.Background(), qmp.Command{Name: name, FDs: []int{w1, w2}}); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 1)
		if n, err := r1.Read(buf); n != 1 || err != nil {
			t.Errorf("%s: pipe %d, %v", name, n, err)
		}
		if n, err := r2.Read(buf); n != 1 || err != nil {
			t.Errorf("%s: pipe %d, %v", name, n, err)
		}
		fdtest.WantClosed(t, r1)
		fdtest.WantClosed(t, r2)
	}
}

// QEMU would mix up the file descriptors of two such commands in flight, and may die of whatever it reads while it takes some.
func TestNothingBehindFDs(t *testing.T) {
	ch, handler := requests()
	c, _ := open(t, qmp.Options{}, handler)
	w1, _ := fdtest.Pipe(t)
	w2, _ := fdtest.Pipe(t)
	replies := []<-chan outcome{
		start(c, qmp.Command{Name: "before"}),
		start(c, qmp.Command{Name: "getfd", FDs: []int{w1}}),
		start(c, qmp.Command{Name: "add-fd", FDs: []int{w2}}),
		start(c, qmp.Command{Name: "behind"}),
		start(c, qmp.Command{Name: "last"}),
	}
	for _, want := range []struct {
		name  string
		files int
		alone bool // nothing is sent until it is answered
	}{{"before", 0, false}, {"getfd", 1, true}, {"add-fd", 1, true}, {"behind", 0, false}, {"last", 0, false}} {
		r := receive(t, ch)
		if r.Name != want.name || len(r.Files) != want.files {
			t.Errorf("got %s with %d file descriptors, want %+v", r.Name, len(r.Files), want)
		}
		if want.alone {
			nothing(t, ch, "sent behind "+want.name)
		}
		r.Return("{}")
	}
	for _, reply := range replies {
		if got := receive(t, reply); got.Err != nil {
			t.Error(got.Err)
		}
	}
}

// TestOutOfBandFDs has a descriptor wait for another though its command is to be out of band: QEMU would mix the two up, and refuse it then.
func TestOutOfBandFDs(t *testing.T) {
	ch, handler := requests()
	c, _ := open(t, qmp.Options{}, handler)
	w1, _ := fdtest.Pipe(t)
	w2, _ := fdtest.Pipe(t)
	replies := []<-chan outcome{
		start(c, qmp.Command{Name: "getfd", FDs: []int{w1}}),
		start(c, qmp.Command{Name: "add-fd", FDs: []int{w2}, OOB: true}),
	}
	for _, name := range []string{"getfd", "add-fd"} {
		r := receive(t, ch)
		nothing(t, ch, "sent behind "+name)
		if r.Name != name || len(r.Files) != 1 {
			t.Errorf("got %s with %d file descriptors, want %s with one", r.Name, len(r.Files), name)
		}
		r.Return("{}")
	}
	for _, reply := range replies {
		if got := receive(t, reply); got.Err != nil {
			t.Error(got.Err)
		}
	}
}

// TestOutOfBandPassesFDs has a QEMU that does not answer a getfd: what is for such a QEMU is sent.
func TestOutOfBandPassesFDs(t *testing.T) {
	ch, handler := requests()
	c, _ := open(t, qmp.Options{}, handler)
	w, _ := fdtest.Pipe(t)
	first := start(c, qmp.Command{Name: "getfd", FDs: []int{w}})
	stuck := receive(t, ch)
	yank := start(c, qmp.Command{Name: "yank", OOB: true})
	r := receive(t, ch)
	if r.Name != "yank" {
		t.Errorf("got %s", r.Name)
	}
	r.Return("{}")
	stuck.Return("{}")
	for _, reply := range []<-chan outcome{first, yank} {
		if got := receive(t, reply); got.Err != nil {
			t.Error(got.Err)
		}
	}
}

func TestFDsClosedWhenRefused(t *testing.T) {
	_, handler := requests()
	c, _ := open(t, qmp.Options{}, handler)
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	tests := []struct {
		name    string
		command qmp.Command
		others  int // file descriptors besides, that are not open
		want    string
	}{
		{"not for it", qmp.Command{Name: "stop"}, 0, "stop takes no file descriptors"},
		{"bad name", qmp.Command{Name: "a b"}, 0, "CommandNotFound"},
		{"bad arguments", qmp.Command{Name: "getfd", Arguments: []byte("x")}, 0, "not a JSON object"},
		{"too many", qmp.Command{Name: "getfd"}, socket.MaxFDs, "254 file descriptors"},
		{"not open", qmp.Command{Name: "getfd"}, 1, "bad file descriptor"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w, r := fdtest.Pipe(t)
			test.command.FDs = []int{w}
			for range test.others {
				test.command.FDs = append(test.command.FDs, 1<<20)
			}
			reply := start(c, test.command)
			if len(reply) != 1 {
				t.Fatal("not refused at once")
			}
			if got := <-reply; got.Err == nil || !strings.Contains(got.Err.Error(), test.want) {
				t.Errorf("reply %v, want %q", got.Err, test.want)
			}
			fdtest.WantClosed(t, r)
			if n := c.InFlight(); n != 0 {
				t.Errorf("InFlight = %d, want 0", n)
			}
		})
	}
	w, r := fdtest.Pipe(t)
	if _, err := c.Execute(cancelled, qmp.Command{Name: "getfd", FDs: []int{w}}); err != context.Canceled {
		t.Errorf("Execute = %v", err)
	}
	fdtest.WantClosed(t, r)
}

func TestMissingFD(t *testing.T) {
	_, handler := requests()
	c, _ := open(t, qmp.Options{}, handler)
	for _, name := range []string{"getfd", "add-fd"} {
		got := receive(t, start(c, qmp.Command{Name: name}))
		if got.Err == nil || got.Err.Error() != "GenericError: No file descriptor supplied via SCM_RIGHTS" {
			t.Errorf("%s: %v", name, got.Err)
		}
	}
}

// A command that waited and turns out impossible does not stop those behind it.
func TestRefusedWhenItsTurnComes(t *testing.T) {
	ch, handler := requests()
	c, _ := open(t, qmp.Options{}, handler)
	w1, _ := fdtest.Pipe(t)
	first := start(c, qmp.Command{Name: "getfd", FDs: []int{w1}})
	w2, r2 := fdtest.Pipe(t)
	second := start(c, qmp.Command{Name: "getfd", FDs: []int{w2, 1 << 20}})
	third := start(c, qmp.Command{Name: "third"})
	receive(t, ch).Return("{}")
	receive(t, ch).Return("3")
	if got := receive(t, first); got.Err != nil {
		t.Error(got.Err)
	}
	if got := receive(t, second); !errors.Is(got.Err, unix.EBADF) {
		t.Errorf("reply %v, want EBADF", got)
	}
	if got := receive(t, third); got.Return != "3" {
		t.Errorf("reply %v", got)
	}
	fdtest.WantClosed(t, r2)
}

func TestFDsClosedAtTheEnd(t *testing.T) {
	ch, handler := requests()
	c, qemu := open(t, qmp.Options{}, handler)
	w1, r1 := fdtest.Pipe(t)
	w2, r2 := fdtest.Pipe(t)
	start(c, qmp.Command{Name: "getfd", FDs: []int{w1}})
	waiting := start(c, qmp.Command{Name: "getfd", FDs: []int{w2}})
	receive(t, ch)
	qemu.Hangup()
	if got := receive(t, waiting); !errors.Is(got.Err, qmp.ErrClosed) {
		t.Errorf("reply %v", got)
	}
	receive(t, c.Done())
	fdtest.WantClosed(t, r1)
	fdtest.WantClosed(t, r2)
	w3, r3 := fdtest.Pipe(t)
	if got := receive(t, start(c, qmp.Command{Name: "getfd", FDs: []int{w3}})); !errors.Is(got.Err, qmp.ErrClosed) {
		t.Errorf("reply %v", got)
	}
	fdtest.WantClosed(t, r3)
}
