package bridge

import (
	"qmp-dbus-bridge/bridge/inventory"
	"qmp-dbus-bridge/qmp"
)

// enter has note write into the ledger of jobs, and shows them as it is then, if note says that they are others.
func (m *mirror) enter(note func(*inventory.Ledger) bool) (changed bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ledger == nil || !note(m.ledger) {
		return false
	}
	if m.arrived == nil { // else they are shown with all of this QEMU
		m.change(func(s *state) {
			s.readings[inventory.Jobs] = newReading(m.layout.kinds[inventory.Jobs], m.ledger.Reading(), s.readings[inventory.Jobs])
		})
	}
	return true
}

// dismiss lets go of a job that QEMU has no more, and tells whether it was kept.
func (m *mirror) dismiss(id string) bool {
	return m.enter(func(l *inventory.Ledger) bool { return l.Dismiss(id) })
}

// noteJobs notes which jobs the request's command has started, or dismissed before it could be read that they had ended.
func (r *request) noteJobs() {
	if id := inventory.DismissedJob(r.command.Name, r.command.Arguments); id != "" {
		r.bridge.mirror.dismiss(id)
	}
	if started := startedJobs(r.command); started != nil {
		r.bridge.mirror.enter(func(l *inventory.Ledger) bool { return l.Start(r.caller.UID, started...) })
	}
}

// startedJobs are the ids of the jobs that a command starts, by itself or by its actions.
func startedJobs(command qmp.Command) (ids []string) {
	if id := inventory.StartedJob(command.Name, command.Arguments); id != "" {
		ids = append(ids, id)
	}
	actions, _ := actionsOf(command) // they have been decided
	for _, one := range actions {
		if id := inventory.StartedJob(*one.Type, one.Data); id != "" {
			ids = append(ids, id)
		}
	}
	return ids
}
