package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/coreos/go-systemd/v22/daemon"

	"qmp-dbus-bridge/bridge"
	"qmp-dbus-bridge/bridge/access"
	"qmp-dbus-bridge/bridge/audit"
	"qmp-dbus-bridge/bridge/bus"
	"qmp-dbus-bridge/bridge/patient"
	"qmp-dbus-bridge/cmd/rest"
	"qmp-dbus-bridge/qmp"
)

// service is a bridge with all that it stands on.
type service struct {
	flags  *sharedFlags
	qemu   owner
	lines  *patient.Writer // under log
	log    *slog.Logger
	audit  *audit.Trail
	bridge *bridge.Bridge
	place  *bus.Place  // for daemon; nil before, and on an existing bus
	daemon *bus.Daemon // nil on an existing bus

	policy  *access.Authorizer // that the service starts with; nil before open
	address string             // of the bus; likewise

	resume func()         // the collector; see delayCollection
	settle func()         // gives back no more memory; nil before it is ready
	hangup chan os.Signal // SIGHUP; see reload
	confinement
}

// newService makes a service that dials QEMU so; nothing happens before its bridge connects. From now on SIGHUP does
// not end the process.
func newService(flags *sharedFlags, once bool, dial func(context.Context, qmp.Options) (*qmp.Conn, error)) (*service, error) {
	hangup := catchHangup()
	if _, err := flags.authorizer(flags.givenQEMU); err != nil { // before there is a QEMU to end again
		return nil, err
	}
	lines := patient.New(os.Stderr, "qmp-dbus-bridge")
	log := slog.New(slog.NewTextHandler(lines, nil))
	trail, err := audit.Open(flags.Audit, log)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("--audit: %w", err), lines.Close())
	}
	return &service{
		flags: flags, lines: lines, log: log, audit: trail, hangup: hangup, resume: delayCollection(),
		confinement: confinement{mappings: findMappings()},
		qemu:        owner{given: flags.givenQEMU != nil, uid: flags.givenQEMU},
		bridge: bridge.New(bridge.Config{
			Dial: dial, Once: once, BusName: flags.BusName, ObjectPath: flags.ObjectPath,
			Version: version(), Audit: trail, Log: log, Limits: flags.limits,
			VMState: flags.VMState.config(flags.Bus == ""),
		}),
	}, nil
}

// dial connects to a QEMU that is of the same user each time.
func (s *service) dial(ctx context.Context, address qmp.Address, o qmp.Options) (*qmp.Conn, error) {
	monitor, err := qmp.Dial(ctx, address, o)
	if err != nil {
		return nil, err
	}
	if err := s.qemu.met(monitor); err != nil {
		return nil, errors.Join(err, monitor.Close())
	}
	return monitor, nil
}

// open makes all that the service needs besides QEMU, which has greeted and whose user is known, and confines the process. That
// can be while the bridge reads what QEMU is.
func (s *service) open(ctx context.Context) (err error) {
	if s.policy, err = s.flags.authorizer(s.qemu.known()); err != nil {
		return err
	}
	if s.address, err = s.openBus(ctx); err != nil {
		return err
	}
	if err := s.listen(); err != nil {
		return err
	}
	return s.confine(s.address)
}

// join takes the bridge, which is connected to QEMU, to the bus that was opened, and says that the service
// is ready.
func (s *service) join(ctx context.Context) error {
	s.qemu.tell(s.log)
	s.tellName()
	s.tellUseless(s.policy)
	if err := s.bridge.Join(ctx, s.address, s.policy); err != nil {
		return joinAdvice.to(err)
	}
	s.log.Info("the policy is in force", "hash", s.policy.Hash())
	return s.ready()
}

// run serves until ctx, QEMU or the bus ends, and reloads at each SIGHUP. If the private bus ends, it says why.
func (s *service) run(ctx context.Context) error {
	stop := s.reloadAtHangup()
	defer stop()
	err := s.bridge.Run(ctx)
	if err != nil && s.daemon != nil {
		err = errors.Join(err, s.daemon.Err())
	}
	return err
}

// tellName logs which name is in force. QEMU's own does not count, but who reads the log may have thought so.
func (s *service) tellName() {
	name := slog.String("name", s.flags.vmName())
	if own := s.bridge.Name(); own != "" && own != s.flags.vmName() {
		s.log.Info("in paths and policies the VM has another name than QEMU calls it: --name sets it", name, slog.String("qemu", own))
		return
	}
	s.log.Info("the VM's name in paths and policies", name)
}

// prepare does of join what needs no QEMU, so that a bus that can't be had ends none: it reserves the
// place of the private bus, or tries the existing one.
func (s *service) prepare(ctx context.Context) error {
	if s.flags.Bus == "" {
		return s.reserve()
	}
	address, err := existingBus(s.flags.Bus)
	if err != nil {
		return err
	}
	return joinAdvice.to(s.bridge.Probe(ctx, address))
}

// reserve makes sure that a private bus can run, and no other in its directory.
func (s *service) reserve() error {
	config, err := s.flags.privateBus(s.qemu.known())
	if err != nil {
		return err
	}
	s.busDir = config.Dir
	s.place, err = bus.Reserve(config)
	return err
}

// openBus finds the bus to serve on, or starts one.
func (s *service) openBus(ctx context.Context) (address string, err error) {
	if s.flags.Bus != "" {
		return existingBus(s.flags.Bus)
	}
	if s.place == nil {
		if err := s.reserve(); err != nil {
			return "", err
		}
	}
	config, err := s.flags.privateBus(s.qemu.known())
	if err != nil {
		return "", err
	}
	config.Logger = s.log
	s.flags.tellUnknown(s.log)
	if s.daemon, err = s.place.Start(ctx, config); err != nil {
		return "", err
	}
	return s.daemon.Address(), nil
}

// ready tells whoever started the service where it is.
func (s *service) ready() error {
	if _, err := fmt.Printf("bus=%s\n", s.address); err != nil {
		return err
	}
	_, err := daemon.SdNotify(false, daemon.SdNotifyReady)
	s.resume()
	s.settle = rest.Watch(s.release)
	return err
}

// release gives memory back that the service needs no more.
func (s *service) release() {
	program, _ := s.mappings() // confine has told why there are none
	if err := releaseMemory(program); err != nil {
		s.log.Warn("memory was not given back", "error", err)
	}
}

// close ends all that was begun, the bus last.
func (s *service) close() error {
	s.resume()
	_, _ = s.mappings() // that has ended by then
	if s.settle != nil {
		s.settle()
	}
	errs := []error{s.bridge.Close()}
	switch {
	case s.daemon != nil:
		errs = append(errs, s.daemon.Close())
	case s.place != nil:
		errs = append(errs, s.place.Close())
	}
	return errors.Join(append(errs, s.audit.Close(), s.lines.Close())...)
}
