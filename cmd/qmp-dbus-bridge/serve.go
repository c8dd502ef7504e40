package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"qmp-dbus-bridge/bridge"
	"qmp-dbus-bridge/bridge/access"
	"qmp-dbus-bridge/bridge/bus"
	"qmp-dbus-bridge/qmp"
)

// serveCommand is `serve`: QEMU runs already, and may end and come back.
type serveCommand struct {
	sharedFlags `embed:""`

	QMP string `name:"qmp" required:"" placeholder:"PATH" help:"QEMU's QMP socket: a path, or fd:N for an inherited one."`
}

// AfterApply finds the mistakes that the parser can't see; it calls this.
func (c *serveCommand) AfterApply() error {
	if _, inherited := qmp.Address(c.QMP).FD(); strings.HasPrefix(c.QMP, "fd:") && !inherited {
		return fmt.Errorf("--qmp %s: want fd: and the number of an inherited file descriptor", c.QMP)
	}
	return c.check()
}

// Run serves until ctx ends.
func (c *serveCommand) Run(ctx context.Context) error {
	address := qmp.Address(c.QMP)
	_, inherited := address.FD()
	s, err := newService(&c.sharedFlags, inherited, func(ctx context.Context, o qmp.Options) (*qmp.Conn, error) {
		return qmp.Dial(ctx, address, o)
	})
	if err != nil {
		return err
	}
	if err := s.open(ctx); err != nil {
		return errors.Join(advise(err), s.close())
	}
	err = s.bridge.Run(ctx)
	return errors.Join(err, s.close())
}

// service is a bridge with all that it stands on.
type service struct {
	flags  *sharedFlags
	log    *slog.Logger
	audit  *access.Audit
	bridge *bridge.Bridge
	daemon *bus.Daemon // nil on an existing bus
	settle *time.Timer // nil before it is ready
}

// newService makes a service that dials QEMU so; nothing happens before open.
func newService(flags *sharedFlags, once bool, dial func(context.Context, qmp.Options) (*qmp.Conn, error)) (*service, error) {
	audit, err := access.OpenAudit(flags.Audit)
	if err != nil {
		return nil, fmt.Errorf("--audit: %w", err)
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	return &service{
		flags: flags, log: log, audit: audit,
		bridge: bridge.New(bridge.Config{
			Dial: dial, Once: once, BusName: flags.BusName, ObjectPath: flags.ObjectPath,
			Version: version(), Audit: audit, Log: log,
		}),
	}, nil
}

// open reaches QEMU, then a bus, and says that the service is ready.
func (s *service) open(ctx context.Context) error {
	if err := s.bridge.Connect(ctx); err != nil {
		return err
	}
	vm := s.flags.vmName(s.bridge)
	policy, err := s.flags.authorizer(vm)
	if err != nil {
		return err
	}
	address, err := s.openBus(ctx, vm)
	if err != nil {
		return err
	}
	if err := s.bridge.Join(ctx, address, policy); err != nil {
		return err
	}
	return s.ready(address)
}

// openBus finds the bus to serve on, or starts one.
func (s *service) openBus(ctx context.Context, vm string) (address string, err error) {
	if s.flags.Bus != "" {
		return existingBus(s.flags.Bus)
	}
	config, err := s.flags.privateBus(vm, s.log)
	if err != nil {
		return "", err
	}
	if s.daemon, err = bus.Start(ctx, config); err != nil {
		return "", err
	}
	return s.daemon.Address(), nil
}

// ready tells whoever started the service where it is.
func (s *service) ready(address string) error {
	if _, err := fmt.Printf("bus=%s\n", address); err != nil {
		return err
	}
	_, err := daemon.SdNotify(false, daemon.SdNotifyReady)
	s.settle = time.AfterFunc(settleTime, func() {
		if err := releaseMemory(); err != nil {
			s.log.Warn("memory of the start was not given back", "error", err)
		}
	})
	return err
}

// close ends all that open began, the bus last.
func (s *service) close() error {
	if s.settle != nil {
		s.settle.Stop()
	}
	errs := []error{s.bridge.Close()}
	if s.daemon != nil {
		errs = append(errs, s.daemon.Close())
	}
	return errors.Join(append(errs, s.audit.Close())...)
}
