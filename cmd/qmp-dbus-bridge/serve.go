package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"qmp-dbus-bridge/qmp"
)

// serveCommand is `serve`: QEMU runs already, and may end and come back.
type serveCommand struct {
	sharedFlags `embed:""`

	QMP string `name:"qmp" required:"" placeholder:"PATH" help:"QEMU's QMP socket: a path, or fd:N for an inherited one."`
}

// AfterApply finds the mistakes that the parser can't see; it calls this.
func (c *serveCommand) AfterApply() error {
	if err := checkAddress(c.QMP); err != nil {
		return err
	}
	return c.check()
}

// checkAddress refuses what begins like an inherited descriptor and is none.
func checkAddress(address string) error {
	if _, inherited := qmp.Address(address).FD(); strings.HasPrefix(address, "fd:") && !inherited {
		return fmt.Errorf("--qmp %s: want fd: and the number of an inherited file descriptor", address)
	}
	return nil
}

// Run serves until ctx ends.
func (c *serveCommand) Run(ctx context.Context) error {
	address := qmp.Address(c.QMP)
	_, inherited := address.FD()
	var s *service
	s, err := newService(&c.sharedFlags, inherited, func(ctx context.Context, o qmp.Options) (*qmp.Conn, error) {
		return s.dial(ctx, address, o)
	})
	if err != nil {
		return err
	}
	s.monitor = c.QMP
	read, err := s.bridge.Reach(ctx)
	if err != nil {
		return errors.Join(connectAdvice.to(err), s.close())
	}
	opened := s.open(ctx)
	if err := read(); err != nil {
		return errors.Join(connectAdvice.to(err), opened, s.close())
	}
	if opened == nil {
		opened = s.join(ctx)
	}
	if opened != nil {
		return errors.Join(opened, s.close())
	}
	err = s.run(ctx)
	return errors.Join(err, s.close())
}
