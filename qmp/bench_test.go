package qmp_test

import (
	"context"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/qmp"
	"qmp-dbus-bridge/qmp/qmptest"
	"qmp-dbus-bridge/qmp/socket"
)

// status is what QEMU 7.2 returns for query-status.
const status = `{"status": "running", "singlestep": false, "running": true}`

func BenchmarkExecute(b *testing.B) {
	c, _ := open(b, qmp.Options{}, qmptest.Answers{"query-status": status}.Handle)
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Execute(ctx, qmp.Command{Name: "query-status"}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkStart has each callback start the next command, as a bridge at work does. Its
// far end allocates nothing, so what is counted is the Conn's.
func BenchmarkStart(b *testing.B) {
	c := openCanned(b, `{"return": `+status+"}\r\n")
	done := make(chan error)
	n := 0
	var next func(qmp.Reply)
	next = func(r qmp.Reply) {
		if n--; n == 0 || r.Err != nil {
			done <- r.Err
			return
		}
		c.Start(qmp.Command{Name: "query-status"}, next)
	}
	b.ReportAllocs()
	n = b.N
	b.ResetTimer()
	c.Start(qmp.Command{Name: "query-status"}, next)
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}

func BenchmarkLarge(b *testing.B) {
	large := "[" + strings.Repeat(status+", ", 3500) + "{}]" // about the size of query-qmp-schema
	c, _ := open(b, qmp.Options{}, qmptest.Answers{"large": large}.Handle)
	ctx := context.Background()
	b.SetBytes(int64(len(large)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Execute(ctx, qmp.Command{Name: "large"}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEvent(b *testing.B) {
	got := make(chan bool, 1)
	left := 0
	_, qemu := open(b, qmp.Options{OnEvent: func(qmp.Event) {
		if left--; left == 0 {
			got <- true
		}
	}}, nil)
	b.ReportAllocs()
	left = b.N
	b.ResetTimer()
	for range b.N {
		qemu.Event("STOP", "")
	}
	<-got
}

// openCanned gives a Conn to a peer that answers every request with the same bytes.
func openCanned(b *testing.B, reply string) *qmp.Conn {
	b.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		b.Fatal(err)
	}
	var ends [2]*socket.Conn
	for i, fd := range fds {
		if ends[i], err = socket.New(fd); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { ends[i].Close() })
	}
	go func() {
		answer, buf := []byte(reply), make([]byte, 4096)
		_ = ends[1].Send([]byte(qmptest.Greeting+"\n"), nil)
		for {
			if _, _, err := ends[1].Read(buf); err != nil || ends[1].Send(answer, nil) != nil {
				return
			}
		}
	}()
	c, err := qmp.Open(context.Background(), ends[0], qmp.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	return c
}
