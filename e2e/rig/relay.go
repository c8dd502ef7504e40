package rig

import (
	"bytes"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Cable carries the bytes and descriptors between a socket of its own and a monitor of QEMU's, until it is cut.
type Cable struct {
	Path string // of its own
	to   string

	mu      sync.Mutex // guards the two below: connections come and go in goroutines
	ends    []*net.UnixConn
	waiting *flight    // that CutAt waits for, or nil
	answers sync.Mutex // held by who passes on what QEMU says, and while a flight begins; before mu
	all     sync.WaitGroup
}

// flight is a command from when QEMU gets it to the cut, after it has answered. Nothing of what QEMU says meanwhile is passed on.
type flight struct {
	command  []byte
	began    bool
	ended    bool          // it has answered
	answered chan struct{} // closed then
}

// Relay lays a cable to the socket at path; it goes with the test.
func Relay(t testing.TB, path string) *Cable {
	t.Helper()
	c := &Cable{Path: filepath.Join(TempDir(t), "relay"), to: path}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: c.Path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	c.all.Go(func() {
		for {
			conn, err := l.AcceptUnix()
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
func (c *Cable) join(conn *net.UnixConn) {
	other, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: c.to, Net: "unix"})
	if err != nil {
		conn.Close()
		return
	}
	c.mu.Lock()
	c.ends = append(c.ends, conn, other)
	c.mu.Unlock()
	c.all.Go(func() {
		carry(other, conn, func(said []byte, pass func() error) error {
			c.ask(said)
			return pass()
		})
	})
	c.all.Go(func() {
		carry(conn, other, func(said []byte, pass func() error) error {
			c.answers.Lock()
			defer c.answers.Unlock()
			if c.keeps(said) {
				return nil
			}
			return pass()
		})
	})
}

// carry passes on what one end says by by, until either has ended.
func carry(to, from *net.UnixConn, by func(said []byte, pass func() error) error) {
	defer to.Close()
	defer from.Close()
	const mostFDs = 253 // SCM_MAX_FD
	said, rights := make([]byte, 64<<10), make([]byte, unix.CmsgSpace(4*mostFDs))
	for {
		n, r, _, _, err := from.ReadMsgUnix(said, rights)
		if err != nil {
			return
		}
		err = by(said[:n], func() error { return pass(to, said[:n], rights[:r]) })
		closeRights(rights[:r])
		if err != nil {
			return
		}
	}
}

// pass writes all that was said, with the descriptors that came with it.
func pass(to *net.UnixConn, said, rights []byte) error {
	n, _, err := to.WriteMsgUnix(said, rights, nil)
	if err != nil {
		return err
	}
	if n < len(said) {
		_, err = to.Write(said[n:])
	}
	return err
}

// closeRights closes the descriptors that came in a message.
func closeRights(rights []byte) {
	messages, _ := unix.ParseSocketControlMessage(rights)
	for m := range messages {
		fds, _ := unix.ParseUnixRights(&messages[m])
		for _, fd := range fds {
			unix.Close(fd)
		}
	}
}

// ask notes what is said to QEMU, before it is. Each command is in one piece.
func (c *Cable) ask(said []byte) {
	c.answers.Lock() // what was answered before is passed on
	defer c.answers.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if f := c.waiting; f != nil && bytes.Contains(said, f.command) {
		f.began = true
	}
}

// keeps notes what QEMU says, and tells whether it is kept back: its events come before its answer, and by themselves.
func (c *Cable) keeps(said []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.waiting
	if f == nil || !f.began {
		return false
	}
	if !f.ended && (bytes.Contains(said, []byte(`"return"`)) || bytes.Contains(said, []byte(`"error"`))) {
		f.ended = true
		close(f.answered)
	}
	return true
}

// Cut ends the connections that there are; others may come.
func (c *Cable) Cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, end := range c.ends {
		end.Close()
	}
	c.ends, c.waiting = nil, nil
}

// CutAt cuts the cable when QEMU has executed or refused a command, and before anybody knows. send has it sent; nothing else may be under way
// then.
func (c *Cable) CutAt(t testing.TB, command string, send func()) {
	t.Helper()
	f := &flight{command: []byte(`"` + command + `"`), answered: make(chan struct{})}
	c.mu.Lock()
	c.waiting = f
	c.mu.Unlock()
	send()
	defer c.Cut()
	select {
	case <-f.answered:
	case <-time.After(Timeout):
		t.Fatalf("QEMU has not executed %s within %v", command, Timeout)
	}
}
