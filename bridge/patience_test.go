package bridge_test

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"qmp-dbus-bridge/bridge"
	"qmp-dbus-bridge/e2e/rig"
)

// short is as long as the tests below wait for somebody who says nothing.
const short = 500 * time.Millisecond

// TestSilentQEMU has a QEMU that greets, negotiates and then leaves one question unanswered.
func TestSilentQEMU(t *testing.T) {
	for question := range own {
		t.Run(question, func(t *testing.T) {
			m := newMachine(t, nil)
			name, _, _ := strings.Cut(question, " ")
			m.hold(name, true)
			w := newWorld(t, m.dial)
			w.wait = bridge.Patience{QEMU: short}
			if err := w.connect(); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Connect = %v, want the deadline's error", err)
			}
			select {
			case <-m.client().Done():
			case <-time.After(rig.Timeout):
				t.Error("the connection is still there")
			}
		})
	}
}

// TestSilentQEMUComesBack has a QEMU come back that answers nothing, which is tried again until it does.
func TestSilentQEMUComesBack(t *testing.T) {
	m := newMachine(t, nil)
	w := newWorld(t, m.dial)
	w.wait = bridge.Patience{QEMU: short}
	w.join()
	w.run()
	c := w.as(admin)
	m.hold("query-uuid", true)
	m.client().Hangup()
	for range 2 {
		m.nextHeld()
	}
	if get[bool](c, "Connected") {
		t.Error("Connected = true, though QEMU has not told what it is")
	}
	m.hold("query-uuid", false)
	rig.Eventually(t, "QEMU is shown", func() bool { return get[bool](c, "Connected") })
}

// TestSilentBus joins a bus that takes the connection and does not answer.
func TestSilentBus(t *testing.T) {
	m := newMachine(t, nil)
	w := newWorld(t, m.dial)
	w.wait = bridge.Patience{Bus: short}
	if err := w.connect(); err != nil {
		t.Fatal(err)
	}
	w.bus.Signal(t, syscall.SIGSTOP)
	defer w.bus.Signal(t, syscall.SIGCONT)
	if err := w.bridge.Join(context.Background(), w.bus.Address, w.policy()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Join = %v, want the deadline's error", err)
	}
}
