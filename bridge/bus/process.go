package bus

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/bridge/child"
)

// firstExtraFD is the number in the child of exec.Cmd.ExtraFiles[0].
const firstExtraFD = 3

// process is one dbus-daemon.
type process struct {
	child  *child.Child
	stderr *lineLogger
	done   chan struct{} // closed when it has ended
	err    error         // how it ended; set before done is closed
}

// spawn starts dbus-daemon, with these credentials unless they are nil, and waits until it listens.
func spawn(ctx context.Context, program, config string, as *syscall.Credential, logger *slog.Logger) (*process, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	cmd := exec.Command(program, "--nofork", "--print-address="+strconv.Itoa(firstExtraFD), "--config-file="+config)
	p := &process{stderr: newLineLogger(logger), done: make(chan struct{})}
	cmd.Dir, cmd.Env, cmd.Stderr = "/", []string{}, p.stderr
	// A group of its own, or Ctrl-C on a terminal would end it before us.
	cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL, Setpgid: true, Credential: as}
	cmd.ExtraFiles, err = onlyFile(w)
	if err == nil {
		err = p.start(cmd)
	}
	w.Close()
	if err != nil {
		return nil, err
	}
	p.bound(logger)
	if err := p.ready(ctx, r); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

// bound bounds the daemon's memory, before there is anybody to fill it. A root that lacks
// CAP_SYS_RESOURCE can't where the daemon has another user: then that is told.
func (p *process) bound(logger *slog.Logger) {
	limit := &unix.Rlimit{Cur: maxMemory, Max: maxMemory}
	err := unix.Prlimit(p.pid(), unix.RLIMIT_DATA, limit, nil)
	if err != nil && !errors.Is(err, unix.ESRCH) && logger != nil {
		logger.Warn("the memory of dbus-daemon is not bounded", "error", err)
	}
}

// start starts the process from a thread that lives as long: Pdeathsig is
// sent when the starting thread ends, not the starting process.
func (p *process) start(cmd *exec.Cmd) error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		daemon, err := child.Start(cmd)
		p.child = daemon
		started <- err
		if err != nil {
			return
		}
		err = daemon.Wait()
		p.stderr.tellRest()
		p.err = p.ended(err)
		close(p.done)
	}()
	return <-started
}

// ended is the error of a daemon that has ended without being asked to.
func (p *process) ended(err error) error {
	how := "exit status 0"
	if err != nil {
		how = err.Error()
	}
	if last := p.stderr.last(); last != "" {
		return fmt.Errorf("dbus-daemon has ended: %s: %s", how, last)
	}
	return fmt.Errorf("dbus-daemon has ended: %s", how)
}

// ready waits until the daemon has printed its address, which it does when it listens.
func (p *process) ready(ctx context.Context, r *os.File) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = r.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	_, err := bufio.NewReader(r).ReadString('\n')
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("dbus-daemon does not start: %w", context.Cause(ctx))
	}
	if err == nil {
		return nil
	}
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return fmt.Errorf("dbus-daemon does not start: %w", context.Cause(ctx))
	}
}

func (p *process) pid() int { return p.child.PID() }

// stop ends the process and returns when it has ended.
func (p *process) stop() {
	_ = p.child.Signal(unix.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(stopTimeout):
		_ = p.child.Signal(unix.SIGKILL)
		<-p.done
	}
}

// onlyFile gives exec.Cmd.ExtraFiles for a child that gets f as its descriptor
// 3 and no other beyond the standard ones. Our own descriptors close on exec,
// but not those that we inherited: an entry of nil closes them in the child,
// and leaves them as they are in our process, for QEMU may be meant to get them.
func onlyFile(f *os.File) ([]*os.File, error) {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return nil, err
	}
	top := firstExtraFD
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err == nil && fd > top && inherits(fd) {
			top = fd
		}
	}
	files := make([]*os.File, top-firstExtraFD+1)
	files[0] = f
	return files, nil
}

func inherits(fd int) bool {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	return err == nil && flags&unix.FD_CLOEXEC == 0
}
