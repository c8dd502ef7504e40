package rig

import (
	"bufio"
	"net"
	"testing"
)

// Monitor is a raw QMP client, for driving a machine past the bridge. What
// QEMU answers is read and dropped.
type Monitor struct {
	t    testing.TB
	conn net.Conn
}

// DialMonitor connects to a monitor and negotiates; the connection ends with the test.
func DialMonitor(t testing.TB, path string) *Monitor {
	t.Helper()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	m := &Monitor{t, conn}
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		for lines := bufio.NewReader(conn); ; {
			if _, err := lines.ReadSlice('\n'); err != nil && err != bufio.ErrBufferFull {
				return
			}
		}
	}()
	t.Cleanup(func() {
		conn.Close()
		<-drained
	})
	m.Send(`{"execute":"qmp_capabilities"}`)
	return m
}

// Send sends a command, and waits only until the kernel has taken it.
func (m *Monitor) Send(command string) {
	if _, err := m.conn.Write([]byte(command + "\n")); err != nil {
		m.t.Errorf("monitor: %v", err)
	}
}
