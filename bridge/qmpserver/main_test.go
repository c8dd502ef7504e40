package qmpserver_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"qmp-dbus-bridge/bridge/qmpserver"
	"qmp-dbus-bridge/e2e/rig"
	"qmp-dbus-bridge/qmp"
	"qmp-dbus-bridge/qmp/fdtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	maxRequest = 1000
	agree      = `{"execute":"qmp_capabilities"}`
	agreed     = `{"return": {}}`
)

// client is the other end of a connection.
type client struct {
	tb   testing.TB
	conn *net.UnixConn
	in   *bufio.Reader
}

// newClient makes one whose commands are answered by answer, until the connection ends.
func newClient(t testing.TB, answer func(*qmpserver.Conn, qmpserver.Request)) (*client, *qmpserver.Conn) {
	t.Helper()
	fdtest.Check(t)
	server, fd, err := qmpserver.Pair(maxRequest)
	if err != nil {
		t.Fatal(err)
	}
	c := newClientOf(t, fd)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			r, err := server.Next()
			if err != nil {
				if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
					t.Errorf("Next = %v", err)
				}
				return
			}
			answer(server, r)
		}
	}()
	t.Cleanup(func() {
		server.Close()
		<-done
	})
	return c, server
}

func newClientOf(t testing.TB, fd int) *client {
	t.Helper()
	file := os.NewFile(uintptr(fd), "client")
	defer file.Close()
	conn, err := net.FileConn(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &client{t, conn.(*net.UnixConn), bufio.NewReader(conn)}
}

func (c *client) send(text string) {
	c.tb.Helper()
	if _, err := io.WriteString(c.conn, text); err != nil {
		c.tb.Fatal(err)
	}
}

// next is a line, without its end.
func (c *client) next() string {
	c.tb.Helper()
	if err := c.conn.SetReadDeadline(time.Now().Add(rig.Timeout)); err != nil {
		c.tb.Fatal(err)
	}
	line, err := c.in.ReadString('\n')
	if err != nil {
		c.tb.Fatalf("%q, %v", line, err)
	}
	if len(line) < 2 || line[len(line)-2:] != "\r\n" {
		c.tb.Fatalf("%q has no end of line as QEMU's", line)
	}
	return line[:len(line)-2]
}

func (c *client) want(answer string) {
	c.tb.Helper()
	if got := c.next(); got != answer {
		c.tb.Errorf("got %s, want %s", got, answer)
	}
}

// echo answers with the name and the arguments.
func echo(c *qmpserver.Conn, r qmpserver.Request) {
	result := `{"name":"` + r.Name + `"`
	if r.Arguments != nil {
		result += `,"arguments":` + string(r.Arguments)
	}
	_ = c.Return(r.ID, []byte(result+"}"))
}

var version = qmp.Version{Major: 7, Minor: 2, Micro: 22, Package: `Debian "x"`}
