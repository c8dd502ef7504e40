package bridge

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/google/uuid"

	"qmp-dbus-bridge/qmp"
)

// state is what the properties of org.qemu.VM1 show. It never changes; a new one takes
// its place.
type state struct {
	name, uuid, status, version, target string
	running, connected                  bool
	policyHash                          string
}

// identity is the part of the state that one QEMU process never changes.
type identity struct{ name, uuid, version, target string }

// arrival is a QEMU whose status is not known yet. Once it is, take makes it the one that
// calls go to: before anybody is told, so that who is told can call. It must not block.
type arrival struct {
	identity
	take func()
}

// mirror keeps the current state, and refreshes it from QEMU when an event says that it
// may have changed.
type mirror struct {
	log     *slog.Logger
	publish func(before, now *state) error // called in order, with mu held

	// mu guards all below, and makes publish see the changes in their order.
	mu      sync.Mutex
	now     *state
	told    *state    // what was published last
	failing bool      // the last query-status told nothing
	monitor *qmp.Conn // which to ask
	arrived *arrival
	asking  bool     // a query-status is on its way
	again   bool     // and what it tells may be out of date
	next    []func() // run after the query-status that starts next
	current []func() // run after the one on its way
}

func newMirror(log *slog.Logger, publish func(before, now *state) error) *mirror {
	return &mirror{log: log, publish: publish, now: &state{}, told: &state{}}
}

// state returns the state of this moment.
func (m *mirror) state() *state {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now
}

// change replaces the state and publishes what differs. The lock is held.
func (m *mirror) change(edit func(*state)) {
	now := *m.now
	edit(&now)
	m.now = &now
	m.tell()
}

// tell publishes what differs from what was published last. What the bus does not take
// remains for retell. The lock is held.
func (m *mirror) tell() {
	if *m.told != *m.now && m.publish(m.told, m.now) == nil {
		m.told = m.now
	}
}

// setPolicyHash shows another policy.
func (m *mirror) setPolicyHash(hash string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.change(func(s *state) { s.policyHash = hash })
}

// retell publishes what the bus did not take before.
func (m *mirror) retell() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tell()
}

// connect shows a QEMU that has been reached, together with its status, and calls then.
func (m *mirror) connect(monitor *qmp.Conn, a arrival, then func()) {
	m.mu.Lock()
	m.arrived = &a
	m.mu.Unlock()
	m.refresh(monitor, then)
}

// disconnect shows that QEMU has gone. Name, UUID, Version and Target stay: they say
// which VM this was.
func (m *mirror) disconnect() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.arrived = nil
	m.change(func(s *state) { s.status, s.running, s.connected = "", false, false })
}

// refresh asks for the status and calls then, which may be nil, after it is shown or
// could not be had. Many refreshes that come together make one or two commands.
func (m *mirror) refresh(monitor *qmp.Conn, then func()) {
	m.mu.Lock()
	m.monitor = monitor
	if then != nil {
		m.next = append(m.next, then)
	}
	if m.asking {
		m.again = true
		m.mu.Unlock()
		return
	}
	m.asking = true
	m.current, m.next = m.next, nil
	m.mu.Unlock()
	m.ask(monitor)
}

func (m *mirror) ask(monitor *qmp.Conn) {
	monitor.Start(qmp.Command{Name: "query-status"}, func(reply qmp.Reply) {
		m.mu.Lock()
		m.answered(reply)
		then := m.current
		again, monitor := m.again, m.monitor
		m.asking, m.again = again, false
		m.current, m.next = m.next, nil
		m.mu.Unlock()
		for _, f := range then {
			f()
		}
		if again {
			m.ask(monitor)
		}
	})
}

// answered shows what query-status said. The lock is held.
func (m *mirror) answered(reply qmp.Reply) {
	status, err := readStatus(reply)
	if errors.Is(err, qmp.ErrClosed) {
		return // disconnect tells
	}
	if err != nil && !m.failing { // once, since QEMU decides how often
		m.log.Warn("the status can't be read", "error", forLog(err))
	}
	m.failing = err != nil
	if m.arrived != nil {
		m.arrived.take()
	}
	m.change(func(s *state) {
		if id := m.arrived; id != nil {
			s.name, s.uuid, s.version, s.target = id.name, id.uuid, id.version, id.target
			s.connected = true
		}
		s.status, s.running = shown(status.Status), status.Running
	})
	m.arrived = nil
}

// runStatus is the part of QEMU's StatusInfo that is shown.
type runStatus struct {
	Status  string `json:"status"`
	Running bool   `json:"running"`
}

// readStatus reads what query-status returned: with an error, nothing. A qemu-storage-daemon
// has no such command, and no status.
func readStatus(reply qmp.Reply) (runStatus, error) {
	if isUnknownCommand(reply.Err) {
		return runStatus{}, nil
	}
	if reply.Err != nil {
		return runStatus{}, reply.Err
	}
	var status runStatus
	if err := json.Unmarshal(reply.Return, &status); err != nil {
		return runStatus{}, err
	}
	return status, nil
}

// canonicalUUID writes a UUID as RFC 9562 has it; a QEMU that tells none has none.
func canonicalUUID(s string) (string, error) {
	id, err := uuid.Parse(s)
	if err != nil {
		return "", fmt.Errorf("query-uuid: %w", err)
	}
	return id.String(), nil
}

// statusEvents are the events after which the status may be another. They don't tell
// which: STOP comes for paused, io-error, save-vm and others (QEMU's qapi/run-state.json).
var statusEvents = map[string]bool{
	"BLOCK_IO_ERROR": true, "COLO_EXIT": true, "GUEST_CRASHLOADED": true, "GUEST_PANICKED": true,
	"MIGRATION": true, "RESET": true, "RESUME": true, "SHUTDOWN": true, "STOP": true,
	"SUSPEND": true, "SUSPEND_DISK": true, "WAKEUP": true, "WATCHDOG": true,
}
