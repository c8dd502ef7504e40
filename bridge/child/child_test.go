package child_test

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/bridge/child"
)

// start starts a shell that ends with a line, or the end, of its input.
func start(t *testing.T, script string) (*child.Child, io.Closer) {
	t.Helper()
	command := exec.Command("sh", "-c", script)
	in, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	c, err := child.Start(command)
	if err != nil {
		t.Fatal(err)
	}
	return c, in
}

// TestNotStarted is a program that isn't there.
func TestNotStarted(t *testing.T) {
	if c, err := child.Start(exec.Command(t.TempDir() + "/none")); c != nil || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Start = %v, %v, want %v", c, err, os.ErrNotExist)
	}
}

// TestEnds is how a child can end, and that none is signalled afterwards, whoever has its id.
func TestEnds(t *testing.T) {
	for _, test := range []struct {
		name, script string
		signal       unix.Signal // 0 for the end of input
		want         string      // Wait's error
	}{
		{"well", "read x; exit 0", 0, ""},
		{"badly", "read x; exit 3", 0, "exit status 3"},
		{"by SIGTERM", "exec cat", unix.SIGTERM, "signal: terminated"},
		{"by SIGKILL", "trap '' TERM; read x", unix.SIGKILL, "signal: killed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, in := start(t, test.script)
			if err := c.Signal(0); err != nil {
				t.Errorf("Signal while it runs = %v, want nil", err)
			}
			if test.signal == 0 {
				_ = in.Close() // or Wait does
			} else if err := c.Signal(test.signal); err != nil {
				t.Errorf("Signal = %v, want nil", err)
			}
			err := c.Wait()
			if got := said(err); got != test.want {
				t.Errorf("Wait = %q, want %q", got, test.want)
			}
			if err := unix.Waitid(unix.P_PID, c.PID(), nil, unix.WEXITED|unix.WNOHANG, nil); !errors.Is(err, unix.ECHILD) {
				t.Errorf("it is left: %v", err)
			}
			if err := c.Signal(unix.SIGKILL); !errors.Is(err, os.ErrProcessDone) {
				t.Errorf("Signal after the end = %v, want %v", err, os.ErrProcessDone)
			}
		})
	}
}

// TestExit is that a caller can tell how it ended from what Wait returns.
func TestExit(t *testing.T) {
	c, in := start(t, "read x; exit 7")
	_ = in.Close()
	var exit *exec.ExitError
	if err := c.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).ExitStatus() != 7 {
		t.Errorf("Wait = %v, want exit status 7", err)
	}
}

// TestSignalsMeanwhile signals children while they end: each signal is sent or refused, none has another error, as one
// sent to an id that is free has.
func TestSignalsMeanwhile(t *testing.T) {
	for range 50 {
		c, in := start(t, "read x")
		var all sync.WaitGroup
		all.Go(func() {
			for {
				switch err := c.Signal(0); {
				case errors.Is(err, os.ErrProcessDone):
					return
				case err != nil:
					t.Error(err)
					return
				}
			}
		})
		_ = in.Close()
		_ = c.Wait() // with status 1, at the end of input
		all.Wait()
	}
}

func said(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
