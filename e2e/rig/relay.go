package rig

import (
	"io"
	"net"
	"path/filepath"
	"sync"
	"testing"
)

// Cable carries the bytes between a socket of its own and another, until it is cut.
type Cable struct {
	Path string // of its own
	to   string

	mu   sync.Mutex // guards ends: connections come and go in goroutines
	ends []net.Conn
	all  sync.WaitGroup
}

// Relay lays a cable to the socket at path; it goes with the test.
func Relay(t testing.TB, path string) *Cable {
	t.Helper()
	c := &Cable{Path: filepath.Join(TempDir(t), "relay"), to: path}
	l, err := net.Listen("unix", c.Path)
	if err != nil {
		t.Fatal(err)
	}
	c.all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			c.join(conn)
		}
	})
	t.Cleanup(func() {
		l.Close()
		c.Cut()
		c.all.Wait()
	})
	return c
}

// join connects one that has come to the other socket.
func (c *Cable) join(conn net.Conn) {
	other, err := net.Dial("unix", c.to)
	if err != nil {
		conn.Close()
		return
	}
	c.mu.Lock()
	c.ends = append(c.ends, conn, other)
	c.mu.Unlock()
	carry := func(to, from net.Conn) {
		_, _ = io.Copy(to, from) // to the end of either
		to.Close()
		from.Close()
	}
	c.all.Go(func() { carry(conn, other) })
	c.all.Go(func() { carry(other, conn) })
}

// Cut ends the connections that there are; others may come.
func (c *Cable) Cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, end := range c.ends {
		end.Close()
	}
	c.ends = nil
}
