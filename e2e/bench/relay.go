package main

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/schema/wire"
)

// relay is the least that turns events into signals: a prepared one for each line.
func relay(path, monitorPath string) error {
	b, err := dialBus(path)
	if err != nil {
		return err
	}
	m, err := dialMonitor(monitorPath)
	if err != nil {
		return err
	}
	if err := m.setTimeout(0); err != nil {
		return err
	}
	signal := newSignal(relayFace)
	fmt.Println(roleReady)
	for {
		if _, err := m.event(); err != nil {
			return err
		}
		if _, err := b.send(signal); err != nil {
			return err
		}
	}
}

// newSignal prepares a signal that looks like that of an event without data.
func newSignal(iface string) *request {
	return newRequest(wire.Header{
		Type: wire.Signal, Flags: wire.NoReplyExpected, Path: servicePath, Interface: iface,
		Member: "Event", Signature: "a{sv}x",
	}, func(e *wire.Encoder) {
		e.OpenArray("{sv}")
		e.CloseArray()
		e.Int64(0)
	})
}

// pause stops processes until resume is called.
func pause(all ...*process) (resume func() error, err error) {
	signal := func(s unix.Signal) error {
		var errs []error
		for _, p := range all {
			errs = append(errs, p.cmd.Process.Signal(s))
		}
		return errors.Join(errs...)
	}
	return func() error { return signal(unix.SIGCONT) }, signal(unix.SIGSTOP)
}
