package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"qmp-dbus-bridge/bridge"
	"qmp-dbus-bridge/qmp"
	"qmp-dbus-bridge/qmp/socket"
)

// quitTimeout is how long QEMU may take to end after quit; it writes back its caches.
const quitTimeout = 10 * time.Second

// runCommand is `run`: QEMU is ours, and we end with it.
type runCommand struct {
	sharedFlags `embed:""`

	PowerDownTimeout time.Duration `default:"30s" help:"After SIGTERM: how long the guest may take to power down before QEMU is quit."`
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
	if slices.Contains(c.QEMU, "-daemonize") {
		return errors.New("run: -daemonize can't be used: QEMU ends with this command")
	}
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
	vm, err := startQEMU(c.QEMU, theirs)
	if err != nil {
		return errors.Join(err, monitor.Close(), s.close())
	}
	return c.serve(ctx, s, vm)
}

// serve shows QEMU until it ends. Where we can't go on, neither may it: nobody could
// control it.
func (c *runCommand) serve(ctx context.Context, s *service, vm *qemu) error {
	if err := s.open(ctx); err != nil {
		err = errors.Join(advise(err), s.close())
		if vm.endsWithin(earlyEnd) { // it told why itself
			return vm.exit()
		}
		return errors.Join(err, vm.kill())
	}
	serving := make(chan error, 1)
	go func() { serving <- s.bridge.Run(context.WithoutCancel(ctx)) }()
	select {
	case <-ctx.Done():
		err := c.shutDown(s.bridge, vm)
		return errors.Join(<-serving, err, s.close(), vm.exit())
	case err := <-serving:
		if !vm.endsWithin(quitTimeout) {
			err = errors.Join(err, vm.kill())
		}
		return errors.Join(err, s.close(), vm.exit())
	}
}

// shutDown asks the guest to power down, then QEMU to quit, then ends it.
func (c *runCommand) shutDown(b *bridge.Bridge, vm *qemu) error {
	for _, step := range []struct {
		command string
		patient time.Duration
	}{{"system_powerdown", c.PowerDownTimeout}, {"quit", quitTimeout}} {
		if err := c.ask(b, step.command, step.patient); err != nil {
			return errors.Join(fmt.Errorf("%s: %w", step.command, err), vm.kill())
		}
		if vm.endsWithin(step.patient) {
			return nil
		}
	}
	return vm.kill()
}

// ask runs a command. A QEMU that has gone or does not answer in time is no error: how it
// ends is seen by its process.
func (c *runCommand) ask(b *bridge.Bridge, command string, patient time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), patient)
	defer cancel()
	err := b.Command(ctx, command)
	if errors.Is(err, qmp.ErrClosed) || errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}
