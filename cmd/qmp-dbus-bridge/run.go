package main

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"qmp-dbus-bridge/qmp"
	"qmp-dbus-bridge/qmp/socket"
)

const (
	// quitTimeout is how long QEMU may take to end after quit; it writes back its caches.
	quitTimeout = 10 * time.Second
	// exitDelay is how long QEMU may take from closing its monitor to its end.
	exitDelay = 5 * time.Second
)

// runCommand is `run`: QEMU is ours, and we end with it.
type runCommand struct {
	sharedFlags `embed:""`

	PowerDownTimeout time.Duration `default:"30s" help:"After SIGTERM: how long the guest may take to power down before QEMU is quit, like 30s or 2m."`
	QEMU             []string      `arg:"" passthrough:"" name:"qemu" help:"-- and QEMU's own command line. The monitor is added to it."`
}

// AfterApply finds the mistakes that the parser can't see; it calls this.
func (c *runCommand) AfterApply() error {
	behind := len(c.QEMU) > 0 && c.QEMU[0] == "--"
	if behind {
		c.QEMU = c.QEMU[1:]
	}
	switch {
	case c.VMState.given && c.VMState.ids == nil && !behind && len(c.QEMU) > 1 && c.QEMU[1] == "--":
		return fmt.Errorf("run: --vmstate has no value but behind a =: write --vmstate=%s", c.QEMU[0])
	case len(c.QEMU) == 0:
		return errors.New("run: want QEMU's command line behind --")
	case strings.HasPrefix(c.QEMU[0], "-") && behind:
		return fmt.Errorf("run: %s is no program: QEMU's command line begins with one", c.QEMU[0])
	case strings.HasPrefix(c.QEMU[0], "-"):
		return fmt.Errorf("run: unknown flag %s; put -- before QEMU's command line", c.QEMU[0])
	}
	if slices.Contains(c.QEMU, "-daemonize") || slices.Contains(c.QEMU, "--daemonize") {
		return errors.New("run: -daemonize can't be used: QEMU ends with this command")
	}
	c.givenName = nameOf(c.QEMU)
	return c.check()
}

// Run starts QEMU, serves until it ends, and ends with its exit status.
func (c *runCommand) Run(ctx context.Context) error {
	monitor, theirs, err := socket.Pair()
	if err != nil {
		return err
	}
	s, err := newService(&c.sharedFlags, true, func(ctx context.Context, o qmp.Options) (*qmp.Conn, error) {
		return qmp.Open(ctx, monitor, o)
	})
	if err != nil {
		return errors.Join(err, monitor.Close(), theirs.Close())
	}
	if err := s.prepare(ctx); err != nil {
		return errors.Join(err, monitor.Close(), theirs.Close(), s.close())
	}
	vm, err := startQEMU(c.QEMU, theirs)
	if err != nil {
		return errors.Join(err, monitor.Close(), s.close())
	}
	s.children = []int{vm.child.PID()}
	return c.serve(ctx, s, vm)
}

// endedEarly is how run ends after a command that was no QEMU, that was told to end at once, or that
// failed: then it has told why.
func endedEarly(vm *qemu) error {
	switch exit := vm.exit().(type) {
	case nil:
		return errors.New("QEMU ended before its monitor answered")
	case *exitError:
		return errors.Join(fmt.Errorf("QEMU ended with status %d before its monitor answered", exit.status), exit)
	default:
		return exit
	}
}

// serve shows QEMU until it ends. Where we can't go on, neither may it: nobody could
// control it.
func (c *runCommand) serve(ctx context.Context, s *service, vm *qemu) error {
	always := context.Background()
	opened, err := c.connect(ctx, s, vm)
	if err != nil {
		if vm.endsWithin(always, earlyEnd) {
			return errors.Join(endedEarly(vm), s.close())
		}
		return errors.Join(connectAdvice.to(err), s.close(), vm.kill())
	}
	if opened == nil {
		opened = s.join(ctx)
	}
	if opened != nil { // nobody has used the guest yet: it goes at once
		status := report(opened, exitFailed)
		return errors.Join(c.shutDown(s, vm, "quit"), s.close(), &exitError{status})
	}
	serving := make(chan error, 1)
	go func() { serving <- s.run(always) }()
	select {
	case <-ctx.Done():
		err := c.shutDown(s, vm, "system_powerdown", "quit")
		return errors.Join(<-serving, err, s.close(), vm.exit())
	case err := <-serving: // QEMU has ended, or the bus
		if !vm.endsWithin(always, exitDelay) {
			err = errors.Join(err, c.shutDown(s, vm, "system_powerdown", "quit"))
		}
		return errors.Join(err, s.close(), vm.exit())
	}
}

// connect reaches QEMU, and opens meanwhile what it needs besides, on a bus whose rules know QEMU's user.
func (c *runCommand) connect(ctx context.Context, s *service, vm *qemu) (opened, err error) {
	read, err := s.bridge.Reach(ctx)
	if err != nil {
		return nil, err
	}
	opened = s.qemu.started(vm.child.PID())
	if opened == nil {
		opened = s.open(ctx)
	}
	return opened, read()
}

// shutDown ends QEMU by steps, system_powerdown for the guest's power button and quit, then by a signal. A signal
// meanwhile goes on to the next step at once. What a step can't do, the next one will.
func (c *runCommand) shutDown(s *service, vm *qemu, steps ...string) error {
	patience := map[string]time.Duration{"system_powerdown": c.PowerDownTimeout, "quit": quitTimeout}
	for _, step := range steps {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
		limited, cancel := context.WithTimeout(ctx, patience[step])
		s.log.Info("ending QEMU; a signal goes on to the next step", "step", step, "patience", patience[step])
		err := s.bridge.Command(limited, step)
		ended := (err == nil || errors.Is(err, qmp.ErrClosed)) && vm.endsWithin(limited, patience[step])
		cancel()
		stop()
		if ended {
			return nil
		}
	}
	return vm.kill()
}
