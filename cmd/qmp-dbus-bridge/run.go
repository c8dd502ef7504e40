package main

import (
	"cmp"
	"context"
	"errors"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"qmp-dbus-bridge/bridge/bus"
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
	if len(c.QEMU) > 0 && c.QEMU[0] == "--" {
		c.QEMU = c.QEMU[1:]
	}
	if len(c.QEMU) == 0 {
		return errors.New("run: want QEMU's command line behind --")
	}
	if slices.Contains(c.QEMU, "-daemonize") || slices.Contains(c.QEMU, "--daemonize") {
		return errors.New("run: -daemonize can't be used: QEMU ends with this command")
	}
	c.givenName = nameOf(c.QEMU)
	return c.check()
}

// Run starts QEMU, serves until it ends, and ends with its exit status.
func (c *runCommand) Run(ctx context.Context) error {
	if c.Bus == "" { // what can be known before there is a QEMU to end again
		if err := bus.Installed(); err != nil {
			return err
		}
	}
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
	vm, err := startQEMU(c.QEMU, theirs)
	if err != nil {
		return errors.Join(err, monitor.Close(), s.close())
	}
	s.children = []int{vm.command.Process.Pid}
	return c.serve(ctx, s, vm)
}

// errEndedEarly is for a command that was no QEMU, or one that was told to end at once.
var errEndedEarly = errors.New("QEMU ended before its monitor answered")

// serve shows QEMU until it ends. Where we can't go on, neither may it: nobody could
// control it.
func (c *runCommand) serve(ctx context.Context, s *service, vm *qemu) error {
	always := context.Background()
	if err := s.bridge.Connect(ctx); err != nil {
		if vm.endsWithin(always, earlyEnd) { // it told why itself
			return errors.Join(s.close(), cmp.Or(vm.exit(), errEndedEarly))
		}
		return errors.Join(connectAdvice.to(err), s.close(), vm.kill())
	}
	if err := c.join(ctx, s, vm); err != nil {
		return errors.Join(err, c.shutDown(s, vm), s.close())
	}
	serving := make(chan error, 1)
	go func() { serving <- s.run(always) }()
	select {
	case <-ctx.Done():
		err := c.shutDown(s, vm)
		return errors.Join(<-serving, err, s.close(), vm.exit())
	case err := <-serving: // QEMU has ended, or the bus
		if !vm.endsWithin(always, exitDelay) {
			err = errors.Join(err, c.shutDown(s, vm))
		}
		return errors.Join(err, s.close(), vm.exit())
	}
}

// join takes the bridge to a bus whose rules know QEMU's user.
func (c *runCommand) join(ctx context.Context, s *service, vm *qemu) error {
	if err := s.qemu.started(vm.command.Process.Pid); err != nil {
		return err
	}
	return s.join(ctx)
}

// shutDown asks the guest to power down, then QEMU to quit, then ends it. A signal
// meanwhile goes on to the next step at once. What a step can't do, the next one will.
func (c *runCommand) shutDown(s *service, vm *qemu) error {
	for _, step := range []struct {
		command string
		patient time.Duration
	}{{"system_powerdown", c.PowerDownTimeout}, {"quit", quitTimeout}} {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
		limited, cancel := context.WithTimeout(ctx, step.patient)
		s.log.Info("ending QEMU; a signal goes on to the next step", "step", step.command, "patience", step.patient)
		err := s.bridge.Command(limited, step.command)
		ended := (err == nil || errors.Is(err, qmp.ErrClosed)) && vm.endsWithin(limited, step.patient)
		cancel()
		stop()
		if ended {
			return nil
		}
	}
	return vm.kill()
}
