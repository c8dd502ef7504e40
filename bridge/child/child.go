package child

import (
	"errors"
	"os"
	"os/exec"
	"sync"

	"golang.org/x/sys/unix"
)

// Child is a process that we started.
type Child struct {
	command *exec.Cmd

	mu    sync.Mutex // held while a signal is sent, so that the id stays the child's meanwhile
	ended bool       // the id may be another's soon
}

// Start starts a command that is used by nobody else from then on.
func Start(command *exec.Cmd) (*Child, error) {
	if err := command.Start(); err != nil {
		return nil, err
	}
	return &Child{command: command}, nil
}

// PID is the child's process id.
func (c *Child) PID() int { return c.command.Process.Pid }

// Wait blocks until the child has ended, and says how, as [exec.Cmd.Wait] does. It is called once,
// and must be, or what is left of the child stays.
func (c *Child) Wait() error {
	err := error(unix.EINTR)
	for errors.Is(err, unix.EINTR) {
		err = unix.Waitid(unix.P_PID, c.PID(), nil, unix.WEXITED|unix.WNOWAIT, nil)
	}
	c.mu.Lock()
	c.ended = true
	c.mu.Unlock()
	return errors.Join(os.NewSyscallError("waitid", err), c.command.Wait())
}

// Signal sends the child a signal; os.ErrProcessDone if it has ended.
func (c *Child) Signal(signal unix.Signal) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return os.ErrProcessDone
	}
	return os.NewSyscallError("kill", unix.Kill(c.PID(), signal))
}
