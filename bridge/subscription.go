package bridge

import (
	"maps"
	"slices"
	"strings"
	"sync"

	"qmp-dbus-bridge/bridge/access"
	"qmp-dbus-bridge/schema/wire"
)

const (
	// maxSubscriptions is the default of Limits.Subscriptions; QEMU 11.1 has 57 events.
	maxSubscriptions = 64
	// maxEventName bounds the name of an event in a subscription, in bytes; QEMU's
	// longest has 27.
	maxEventName = 255
)

// subscriptions tells who gets the events that are not for everybody. Each was decided when
// it was made.
type subscriptions struct {
	most   int        // of one caller
	mu     sync.Mutex // guards byName, between callers and the QMP reader
	byName map[string]map[string]bool
}

func newSubscriptions(most int) *subscriptions {
	return &subscriptions{most: most, byName: map[string]map[string]bool{}}
}

// to returns the unique names to which an event is sent.
func (s *subscriptions) to(event string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for name, events := range s.byName {
		if events[event] {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// add subscribes a caller to events, to all of them or none.
func (s *subscriptions) add(name string, events []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	wanted := map[string]bool{}
	maps.Copy(wanted, s.byName[name])
	for _, event := range events {
		wanted[event] = true
	}
	if len(wanted) > s.most {
		return failuref(errLimits, "you would have %d subscriptions; %d is the most", len(wanted), s.most)
	}
	s.byName[strings.Clone(name)] = wanted
	return nil
}

// remove ends subscriptions; one that is none is no error.
func (s *subscriptions) remove(name string, events []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, event := range events {
		delete(s.byName[name], event)
	}
	if len(s.byName[name]) == 0 {
		delete(s.byName, name)
	}
}

// forget ends all subscriptions of a caller that has left.
func (s *subscriptions) forget(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byName, name)
}

// parseEvents reads the argument of Subscribe and Unsubscribe.
func parseEvents(r *request) error {
	var events []string
	d := r.Decoder()
	d.Enter()
	for d.More() {
		events = append(events, d.String())
		if len(events[len(events)-1]) > maxEventName {
			return failuref(errInvalidArgs, "events[%d]: longer than %d bytes", len(events)-1, maxEventName)
		}
		if most := r.bridge.subscriptions.most; len(events) > most {
			return failuref(errLimits, "more than %d events", most)
		}
	}
	d.Exit()
	if err := d.Err(); err != nil {
		return failuref(errInvalidArgs, "events: %v", err)
	}
	r.subject = events
	return nil
}

// subscribe decides each event by itself, since each may be of another class.
func subscribe(r *request) {
	events, _ := r.subject.([]string)
	for _, event := range events {
		if err := r.decideEvent(event); err != nil {
			r.fail(err)
			return
		}
	}
	if err := r.bridge.subscriptions.add(r.Sender, events); err != nil {
		r.fail(err)
		return
	}
	r.replyEmpty()
	if _, err := r.bridge.callers.Lookup(r.Sender, func() {}); err != nil { // it left meanwhile
		r.bridge.subscriptions.forget(r.Sender)
	}
}

// decideEvent asks the policy whether the caller may receive an event, and records that.
func (r *request) decideEvent(event string) error {
	record := r.record(resultOK)
	record.Decision = r.bridge.policy.Decide(r.caller, access.Event(event), nil)
	if !record.Decision.Allowed() {
		record.Result = errAccessDenied
	}
	if err := r.bridge.audit.Write(record); err != nil {
		return failuref(errLimits, "what can't be recorded is not done: %v", err)
	}
	if !record.Decision.Allowed() {
		return failuref(errAccessDenied, "uid %d may not receive the event %s", r.caller.UID, dbusText(event))
	}
	return nil
}

func unsubscribe(r *request) {
	events, _ := r.subject.([]string)
	r.bridge.subscriptions.remove(r.Sender, events)
	r.replyEmpty()
}

func (r *request) replyEmpty() {
	r.reply("", func(*wire.Encoder) error { return nil })
}
