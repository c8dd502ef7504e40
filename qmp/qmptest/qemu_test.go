package qmptest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/qmp"
	"qmp-dbus-bridge/qmp/qmptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAnswers(t *testing.T) {
	_, s := qmptest.Start(t, qmptest.Options{}, qmptest.Answers{"query-name": `{"name": "vm"}`}.Handle)
	ctx := context.Background()
	c, err := qmp.Open(ctx, s, qmp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	tests := []struct{ command, returned, err string }{
		{"query-name", `{"name": "vm"}`, "<nil>"},
		{"query-uuid", "", "CommandNotFound: The command query-uuid has not been found"},
		{"quit", "{}", "<nil>"},
		{"query-name", "", "QMP connection ended: EOF"},
	}
	for _, test := range tests {
		got, err := c.Execute(ctx, qmp.Command{Name: test.command})
		if string(got) != test.returned || fmt.Sprint(err) != test.err {
			t.Errorf("%s = %s, %v, want %s, %s", test.command, got, err, test.returned, test.err)
		}
		if test.command == "quit" {
			<-c.Done()
		}
	}
}

// File descriptors are those of their own request, also if several come in one read.
func TestFiles(t *testing.T) {
	got := make(chan string, 3)
	_, s := qmptest.Start(t, qmptest.Options{}, func(_ *qmptest.QEMU, r *qmptest.Request) {
		if len(got) == 0 {
			time.Sleep(10 * time.Millisecond) // the others gather
		}
		got <- fmt.Sprint(r.Name, " ", len(r.Files))
	})
	c, err := qmp.Open(context.Background(), s, qmp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	fd := dup(t, w)
	w.Close()
	c.Start(qmp.Command{Name: "first"}, nil)
	c.Start(qmp.Command{Name: "second"}, nil)
	c.Start(qmp.Command{Name: "getfd", FDs: []int{fd}}, nil)
	for _, want := range []string{"first 0", "second 0", "getfd 1"} {
		if line := <-got; line != want {
			t.Errorf("got %s, want %s", line, want)
		}
	}
	c.Close()
	if _, err := r.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("pipe: %v, want EOF", err)
	}
}

// The second client is greeted when the first has gone, and Close is the end of all.
func TestListener(t *testing.T) {
	l := qmptest.Listen(t, qmptest.Options{}, qmptest.Answers{}.Handle)
	ctx := context.Background()
	first, err := qmp.Dial(ctx, qmp.Address(l.Path), qmp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var closing atomic.Bool
	time.AfterFunc(20*time.Millisecond, func() {
		closing.Store(true)
		first.Close()
	})
	second, err := qmp.Dial(ctx, qmp.Address(l.Path), qmp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if !closing.Load() {
		t.Error("the second was greeted while the first was there")
	}
	l.Client().Event("STOP", `{}`)
	l.Close()
	<-second.Done()
	if !errors.Is(second.Err(), io.EOF) {
		t.Errorf("Err = %v, want EOF", second.Err())
	}
	if _, err := os.Lstat(l.Path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
}

// dup gives a file descriptor that nothing else closes.
func dup(t *testing.T, f *os.File) int {
	t.Helper()
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return fd
}
