package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/bridge/access"
)

// catchHangup keeps SIGHUP from ending the process, for good; one that comes before anybody listens waits.
func catchHangup() chan os.Signal {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	return hangup
}

// reloadAtHangup reloads at each SIGHUP until the function it returns is called, which waits for the last one.
func (s *service) reloadAtHangup() (stop func()) {
	stopped := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		for {
			select {
			case <-s.hangup:
				s.reload()
			case <-stopped:
				return
			}
		}
	})
	return func() {
		close(stopped)
		all.Wait()
	}
}

// reload opens the audit's file again and reads the policy files anew, each all or nothing: what can't be had
// stays as it was. What the new policy decides is in the file that was opened. systemd learns when it began and when it was done (Type=notify-reload).
func (s *service) reload() {
	var errs []error
	for _, step := range []struct {
		failed string
		do     func() error
	}{
		{"systemd was not told that a reload begins", notifyReloading},
		{"the audit's file stays as it was", s.reopenAudit},
		{"the policy stays as it was", s.reloadPolicy},
	} {
		if err := step.do(); err != nil {
			s.log.Error(step.failed, "error", oneLine(err))
			errs = append(errs, err)
		}
	}
	status := "reloaded"
	if err := errors.Join(errs...); err != nil {
		status = "not all was reloaded: " + oneLine(err)
	}
	if _, err := daemon.SdNotify(false, "STATUS="+status+"\n"+daemon.SdNotifyReady); err != nil {
		s.log.Error("systemd was not told that a reload is done", "error", err)
	}
}

func (s *service) reopenAudit() error {
	if err := s.audit.Reopen(); err != nil {
		return err
	}
	if file := s.audit.File(); file != "" {
		s.log.Info("the audit goes on", "file", file)
	}
	return nil
}

func (s *service) reloadPolicy() error {
	policy, err := s.flags.authorizer(s.qemu.known())
	if err != nil {
		return err
	}
	s.tellUseless(policy)
	s.bridge.SetPolicy(policy)
	s.log.Info("the policy is in force", "hash", policy.Hash())
	return nil
}

// maxUseless bounds what is logged of policies without effect; policy check tells all.
const maxUseless = 16

// tellUseless logs what of a policy has no effect. Once confined, the bridge can't ask which groups a user is in, and
// then takes any for possible.
func (s *service) tellUseless(policy *access.Authorizer) {
	useless := policy.Unreachable(s.flags.Bus == "")
	for _, problem := range useless[:min(len(useless), maxUseless)] {
		s.log.Warn("a policy has no effect", "why", problem.Error())
	}
	if more := len(useless) - maxUseless; more > 0 {
		s.log.Warn("more policies have no effect: policy check tells all", "count", more)
	}
}

// notifyReloading says that a reload begins, and when that is: systemd waits for the READY that is later.
func notifyReloading() error {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return err
	}
	state := fmt.Sprintf("%s\nMONOTONIC_USEC=%d", daemon.SdNotifyReloading, now.Nano()/time.Microsecond.Nanoseconds())
	_, err := daemon.SdNotify(false, state)
	return err
}
