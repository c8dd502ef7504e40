package bridge

import (
	"sync"
	"time"

	"qmp-dbus-bridge/bridge/access"
	"qmp-dbus-bridge/bridge/action"
	"qmp-dbus-bridge/bridge/audit"
	"qmp-dbus-bridge/qmp"
	"qmp-dbus-bridge/schema"
)

// maxHeard is how many events are decided for one session; QEMU 11.1 has 57. More are not sent: only a QEMU that was taken
// over has them, and each may be a record of the audit.
const maxHeard = 256

// hearing is which events that are not for everybody the caller of a session may have. Each is decided when it first
// comes, and again when it comes after there was another policy, or the caller got or lost a name.
type hearing struct {
	mu     sync.Mutex // guards all below, between the QMP reader and review
	policy *access.Authorizer
	may    map[string]bool // by event, what policy says
	before map[string]bool // what was said before that
}

// hear sends an event to the client, if it is past the negotiation and may have it. It is called by the QMP reader, and does
// not block.
func (s *session) hear(ev qmp.Event) {
	if !s.conn.Ready() || s.isEnding() || action.EventClass(ev.Name) != action.ClassRead && !s.mayHear(ev.Name) {
		return
	}
	ev.Data = schema.Text(ev.Data)
	s.tell(s.conn.Event(ev))
}

// mayHear decides on an event, or remembers what was decided. As with what is left out of a result, who has not asked for
// an event by name is not refused it: there is a record of what is allowed, and of what no longer is.
func (s *session) mayHear(event string) bool {
	h := &s.hears
	h.mu.Lock()
	defer h.mu.Unlock()
	h.follow(s.bridge.policy.Load())
	if may, known := h.may[event]; known {
		return may
	}
	if len(h.may) >= maxHeard || len(event) > maxEventName {
		return false
	}
	if s.onBus {
		s.bridge.callers.Update(s.caller)
	}
	decision := h.policy.Decide(s.caller, action.Event(event), nil)
	s.bridge.noteUnevaluated(decision)
	if decision.Allowed() || h.before[event] {
		if err := s.bridge.audit.Write(s.record(decision)); err != nil {
			s.bridge.noteUnrecorded(err)
			return false // what can't be recorded is not done
		}
	}
	h.may[event] = decision.Allowed()
	return decision.Allowed()
}

func (s *session) record(d access.Decision) audit.Record {
	result := resultOK
	if !d.Allowed() {
		result = errAccessDenied
	}
	return audit.Record{Time: time.Now(), Name: s.caller.Name, Caller: s.caller, Decision: d, Result: result}
}

// follow has all decided again by a policy that is another. It wants mu held.
func (h *hearing) follow(policy *access.Authorizer) {
	if h.policy == policy && h.may != nil {
		return
	}
	h.policy, h.before, h.may = policy, h.may, map[string]bool{}
}

// review has all decided again.
func (h *hearing) review() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.policy = nil
}
