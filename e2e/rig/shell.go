package rig

import (
	"bufio"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Shell runs commands in a guest, one at a time, over its second serial port.
type Shell struct {
	conn   net.Conn
	answer *bufio.Reader
}

func shellPath(dir string) string { return filepath.Join(dir, "shell") }

// DialShell connects to the guest that is ready, or will be when a migration has ended, and whose
// [GuestArgs] are for dir. The connection ends with the test.
func DialShell(t testing.TB, dir string) *Shell {
	t.Helper()
	conn, err := net.Dial("unix", shellPath(dir))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &Shell{conn, bufio.NewReader(conn)}
}

// Run runs a line of busybox's shell in the guest and returns what it printed, without the
// newline at the end. The test fails unless the line succeeds, within [Timeout].
func (s *Shell) Run(t testing.TB, line string) string {
	t.Helper()
	printed, status, err := s.run(line)
	if err != nil {
		t.Fatalf("guest: %s: %v", line, err)
	}
	if status != "0" {
		t.Fatalf("guest: %s: status %s: %s", line, status, printed)
	}
	return strings.TrimSuffix(printed, "\n")
}

// Await waits in the guest until the line succeeds, and fails the test at [Timeout].
func (s *Shell) Await(t testing.TB, line string) {
	t.Helper()
	s.Run(t, "until "+line+"; do usleep 20000; done")
}

// Tell sends a line whose end nobody waits for, such as one that ends the guest. Nothing can be
// run after it.
func (s *Shell) Tell(t testing.TB, line string) {
	t.Helper()
	if err := s.send(line); err != nil {
		t.Fatalf("guest: %s: %v", line, err)
	}
}

func (s *Shell) run(line string) (printed, status string, err error) {
	if err := s.send(line); err != nil {
		return "", "", err
	}
	if err := s.conn.SetReadDeadline(time.Now().Add(Timeout)); err != nil {
		return "", "", err
	}
	if printed, err = s.answer.ReadString(0); err != nil {
		return "", "", fmt.Errorf("%w after %q", err, printed)
	}
	status, err = s.answer.ReadString('\n')
	return strings.TrimSuffix(printed, "\x00"), strings.TrimSuffix(status, "\n"), err
}

func (s *Shell) send(line string) error {
	if strings.ContainsAny(line, "\x00\n") {
		return fmt.Errorf("not one line")
	}
	_, err := s.conn.Write([]byte(line + "\n"))
	return err
}
