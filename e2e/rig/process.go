package rig

import (
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// stopTimeout is how long a process may take to end after SIGTERM.
const stopTimeout = 5 * time.Second

// Process is a program that a test has started.
type Process struct {
	cmd  *exec.Cmd
	out  *output
	done chan struct{} // closed when it has ended
}

// Start starts cmd and returns; the process ends with the test at the latest.
// Its standard output and standard error are collected together
// where cmd doesn't say otherwise. Start owns cmd from then on.
func Start(t testing.TB, cmd *exec.Cmd) *Process {
	t.Helper()
	p := newProcess(cmd)
	if err := p.start(nil); err != nil {
		t.Fatalf("%s: %v", cmd, err)
	}
	t.Cleanup(p.Stop)
	return p
}

func newProcess(cmd *exec.Cmd) *Process {
	p := &Process{cmd: cmd, out: newOutput(), done: make(chan struct{})}
	if cmd.Stdout == nil {
		cmd.Stdout = p.out
	}
	if cmd.Stderr == nil {
		cmd.Stderr = p.out
	}
	cmd.WaitDelay = stopTimeout // for children that keep the output open
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = unix.SIGKILL
	return p
}

// start starts the process from a thread that lives as long as it does, since
// Pdeathsig goes by the thread, having called before on that thread.
func (p *Process) start(before func() error) error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		if before == nil {
			defer runtime.UnlockOSThread()
		} else if err := before(); err != nil { // changed: the thread ends with the goroutine
			started <- err
			return
		}
		err := p.cmd.Start()
		started <- err
		if err == nil {
			_ = p.cmd.Wait()
			p.out.end()
			close(p.done)
		}
	}()
	return <-started
}

// Run runs cmd to its end, [Timeout] at most, and returns what it printed and its
// exit status, -1 if a signal ended it.
func Run(t testing.TB, cmd *exec.Cmd) (printed string, status int) {
	t.Helper()
	p := Start(t, cmd)
	status = p.Wait(t)
	return p.Output(), status
}

// PID is the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Output is what the process has printed so far.
func (p *Process) Output() string { return p.out.String() }

// WaitOutput waits until the process has printed text, and fails the test when
// it ends without or at [Timeout].
func (p *Process) WaitOutput(t testing.TB, text string) {
	t.Helper()
	p.waitOutput(t, text, Timeout)
}

func (p *Process) waitOutput(t testing.TB, text string, patience time.Duration) {
	t.Helper()
	if err := p.out.wait(text, patience); err != nil {
		t.Fatalf("%s: no %q in its output: %v:\n%s", p.cmd, text, err, p.Output())
	}
}

// Wait waits for the end of the process, [Timeout] at most, and returns its
// exit status, -1 if a signal ended it.
func (p *Process) Wait(t testing.TB) int {
	t.Helper()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(Timeout):
		t.Fatalf("%s: not ended within %v:\n%s", p.cmd, Timeout, p.Output())
		return -1
	}
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Signal sends sig to the process; it fails the test unless the process is there to get it.
func (p *Process) Signal(t testing.TB, sig syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		t.Fatalf("%s: %v: %v", p.cmd, sig, err)
	}
}

// Stop ends the process by SIGTERM, or SIGKILL if it takes too long, and returns when
// it has ended. Where it has already, Stop does nothing.
func (p *Process) Stop() {
	_ = p.cmd.Process.Signal(unix.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(stopTimeout):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}
