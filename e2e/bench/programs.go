package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// permissive is a bus on which everybody may do everything, and wait for enough replies to flood.
const permissive = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <listen>unix:path=%s</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
  </policy>
  <limit name="max_replies_per_connection">4096</limit>
</busconfig>
`

func (s *stage) startQEMU() error {
	version, err := s.startMachine(&s.vm, 0, monitorCount)
	s.versions = "QEMU " + version
	return err
}

// startMachine starts a QEMU with the monitors from first to before end, and returns its version when they answer.
func (s *stage) startMachine(into **process, first, end int, more ...string) (version string, err error) {
	args := []string{"-M", "q35", "-accel", "tcg", "-m", "32", "-nodefaults", "-display", "none", "-name", "bench"}
	for i := first; i < end; i++ {
		args = append(args, "-qmp", "unix:"+s.monitor(i)+",server=on,wait=off")
	}
	if err := s.start(into, "", s.qemu, append(args, more...)...); err != nil {
		return "", err
	}
	for deadline := time.Now().Add(readyTimeout); ; time.Sleep(10 * time.Millisecond) {
		m, err := dialMonitor(s.monitor(end - 1))
		if err == nil {
			return m.version, m.close()
		}
		if err := errors.Join((*into).ended(), past(deadline, err)); err != nil {
			return "", err
		}
	}
}

// past is err if the deadline has passed.
func past(deadline time.Time, err error) error {
	if time.Now().Before(deadline) {
		return nil
	}
	return err
}

func (s *stage) startBus() error {
	config := filepath.Join(s.dir, "bus.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, permissive, s.bus), 0o600); err != nil {
		return err
	}
	version, err := exec.Command("dbus-daemon", "--version").Output()
	if err != nil {
		return fmt.Errorf("dbus-daemon: %w", err)
	}
	first, _, _ := strings.Cut(string(version), "\n")
	s.versions += ", " + first
	return s.start(&s.daemon, "unix:", "dbus-daemon", "--nofork", "--nopidfile", "--print-address",
		"--config-file="+config)
}

func (s *stage) startServices() (err error) {
	if s.self, err = os.Executable(); err != nil {
		return err
	}
	if err := s.start(&s.echo, roleReady, s.self, roleEcho, s.bus, echoName); err != nil {
		return err
	}
	if err := s.start(&s.relay, roleReady, s.self, roleRelay, s.bus, s.monitor(monitorRelay)); err != nil {
		return err
	}
	return s.start(&s.forwarder, roleReady, s.self, roleForward, s.bus, forwarderName, s.monitor(monitorForwarder))
}

// bridgeReady is how the bridge's line begins that says that it is ready.
const bridgeReady = "bus="

// bridgeArgs are the bridge's arguments but for the bus, for the monitor with that number.
func (s *stage) bridgeArgs(monitor int, more ...string) []string {
	audit := filepath.Join(s.dir, fmt.Sprintf("audit%d", monitor))
	return append([]string{"serve", "--qmp", s.monitor(monitor), "--audit", audit}, more...)
}

func (s *stage) startBridge() error {
	return s.start(&s.bridge, bridgeReady, s.options.bridge, s.bridgeArgs(monitorBridge, "--bus", "unix:path="+s.bus)...)
}

// startOwnBus starts a second bridge, with a bus of its own under the bridge's policy.
func (s *stage) startOwnBus() error {
	return s.start(&s.ownBridge, bridgeReady, s.options.bridge,
		s.bridgeArgs(monitorOwnBus, "--bus-dir", filepath.Dir(s.ownBus))...)
}

// settle waits until the firmware has done its work and the machine idles.
func (s *stage) settle(ctx context.Context) error {
	const step, idle, most = 500 * time.Millisecond, 25 * time.Millisecond, 40
	before, err := s.vm.cpu()
	for range most {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		time.Sleep(step)
		var now time.Duration
		now, err = s.vm.cpu()
		if now-before < idle {
			return err
		}
		before = now
	}
	return errors.New("the virtual machine does not become idle")
}
