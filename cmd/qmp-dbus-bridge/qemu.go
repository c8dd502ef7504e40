package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"qmp-dbus-bridge/bridge/child"
)

// earlyEnd is how long a QEMU that closed its monitor may take to end by itself.
const earlyEnd = 5 * time.Second

// monitorID names the character device that is our monitor.
const monitorID = "qmp-dbus-bridge"

// qemu is the QEMU that run started.
type qemu struct {
	child *child.Child
	ended chan struct{}
	err   error // of Wait, once ended
}

// nameOf is the name that a command line gives QEMU: `-name NAME,...` or
// `-name guest=NAME,...`; empty if none.
func nameOf(line []string) string {
	i := slices.IndexFunc(line, func(s string) bool { return s == "-name" || s == "--name" })
	if i < 0 || i+1 >= len(line) {
		return ""
	}
	for field := range strings.SplitSeq(line[i+1], ",") {
		if name, ok := strings.CutPrefix(field, "guest="); ok {
			return name
		}
		if !strings.Contains(field, "=") {
			return field
		}
	}
	return ""
}

// startQEMU starts a command line with monitor, which it closes here, as its QMP monitor.
// QEMU stays when we are killed: it is not ours to end then.
func startQEMU(line []string, monitor *os.File) (*qemu, error) {
	defer monitor.Close()
	const fd = 3 // the first of ExtraFiles
	args := append(slices.Clone(line[1:]),
		"-chardev", fmt.Sprintf("socket,id=%s,fd=%d", monitorID, fd),
		"-mon", "mode=control,chardev="+monitorID)
	c := exec.Command(line[0], args...)
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	c.ExtraFiles = []*os.File{monitor}
	process, err := child.Start(c)
	if err != nil {
		return nil, fmt.Errorf("%w; install QEMU (Debian: qemu-system-x86) or correct the command behind --", err)
	}
	q := &qemu{child: process, ended: make(chan struct{})}
	go func() {
		q.err = process.Wait()
		close(q.ended)
	}()
	return q, nil
}

// endsWithin waits for the end for so long, or until ctx ends.
func (q *qemu) endsWithin(ctx context.Context, d time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	select {
	case <-q.ended:
		return true
	case <-ctx.Done():
		return false
	}
}

// kill ends QEMU as a last resort.
func (q *qemu) kill() error {
	err := q.child.Signal(syscall.SIGKILL)
	<-q.ended
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// exit returns QEMU's exit status as ours, once it has ended: nil for 0, as a shell has it for
// a signal.
func (q *qemu) exit() error {
	var exit *exec.ExitError
	switch {
	case q.err == nil:
		return nil
	case !errors.As(q.err, &exit):
		return q.err
	}
	status := exit.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		return &exitError{128 + int(status.Signal())}
	}
	return &exitError{status.ExitStatus()}
}
