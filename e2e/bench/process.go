package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	readyTimeout = 20 * time.Second // for a process to say that it is ready
	stopTimeout  = 5 * time.Second  // for it to end after SIGTERM
)

// process is a program that was started.
type process struct {
	name  string
	cmd   *exec.Cmd
	log   bytes.Buffer // standard error; to be read once done
	lines chan string  // the line that ready was waited for
	done  chan struct{}
}

// startProcess starts a program and waits until it prints a line that begins with ready, which it
// returns; with "" it does not wait. Where it fails, nothing is left running.
// It has to be called by the main goroutine: the kernel kills the child when the thread ends.
func startProcess(ready, program string, args ...string) (*process, string, error) {
	p := &process{
		name: program, cmd: exec.Command(program, args...),
		lines: make(chan string, 1), done: make(chan struct{}),
	}
	// A group of its own: Ctrl-C is for us, and we end what we started.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGKILL}
	p.cmd.Stderr = &p.log
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, "", err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, "", err
	}
	go func() {
		defer close(p.done)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if ready != "" && strings.HasPrefix(lines.Text(), ready) {
				select {
				case p.lines <- lines.Text():
				default:
				}
			}
		}
		_ = p.cmd.Wait()
	}()
	if ready == "" {
		return p, "", nil
	}
	line, err := p.awaitReady()
	if err != nil {
		p.stop()
		return nil, "", fmt.Errorf("%w: %s", err, p.said())
	}
	return p, line, nil
}

func (p *process) awaitReady() (string, error) {
	timeout := time.NewTimer(readyTimeout)
	defer timeout.Stop()
	select {
	case line := <-p.lines:
		return line, nil
	case <-p.done:
		return "", fmt.Errorf("%s has ended", p.name)
	case <-timeout.C:
		return "", fmt.Errorf("%s is not ready after %v", p.name, readyTimeout)
	}
}

// stop ends the process and waits for that. It may be called again.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(unix.SIGTERM) // fails only if it has ended
	select {
	case <-p.done:
	case <-time.After(stopTimeout):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// said is the end of what the process printed as errors, once it has ended.
func (p *process) said() string {
	const enough = 1000 // bytes
	text := bytes.TrimSpace(p.log.Bytes())
	return string(text[max(0, len(text)-enough):])
}

// ended tells whether the process has ended by itself.
func (p *process) ended() error {
	select {
	case <-p.done:
		return fmt.Errorf("%s has ended (%v): %s", p.name, p.cmd.ProcessState, p.said())
	default:
		return nil
	}
}
