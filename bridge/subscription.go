package bridge

import (
	"maps"
	"slices"
	"sync"

	"qmp-dbus-bridge/bridge/access"
	"qmp-dbus-bridge/bridge/action"
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
// it was made, and is decided again by every new policy and when its caller gets or loses a name.
type subscriptions struct {
	most   int        // of one caller
	mu     sync.Mutex // guards byName, between callers, the QMP reader and SetPolicy
	byName map[string]subscriber
}

// subscriber is a caller with the events that it asked for.
type subscriber struct {
	caller *access.Caller
	events map[string]bool
}

func newSubscriptions(most int) *subscriptions {
	return &subscriptions{most: most, byName: map[string]subscriber{}}
}

// to returns the unique names to which an event is sent.
func (s *subscriptions) to(event string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for name, one := range s.byName {
		if one.events[event] {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// has tells whether a caller has subscribed to an event.
func (s *subscriptions) has(name, event string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byName[name].events[event]
}

// add subscribes a caller to events, to all of them or none.
func (s *subscriptions) add(caller *access.Caller, events []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	wanted := map[string]bool{}
	maps.Copy(wanted, s.byName[caller.Name].events)
	for _, event := range events {
		wanted[event] = true
	}
	if len(wanted) > s.most {
		return failuref(errLimits, "you would have %d subscriptions; %d is the most", len(wanted), s.most)
	}
	s.byName[caller.Name] = subscriber{caller, wanted}
	return nil
}

// remove ends subscriptions; one that is none is no error.
func (s *subscriptions) remove(name string, events []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, event := range events {
		delete(s.byName[name].events, event)
	}
	if len(s.byName[name].events) == 0 {
		delete(s.byName, name)
	}
}

// forget ends all subscriptions of a caller that has left.
func (s *subscriptions) forget(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byName, name)
}

// subscription is one event of one subscriber.
type subscription struct {
	caller *access.Caller
	event  string
}

// all returns every subscription of these names, in order; without any name, of all.
func (s *subscriptions) all(names ...string) []subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	if names == nil {
		names = slices.Sorted(maps.Keys(s.byName))
	}
	var list []subscription
	for _, name := range names {
		for _, event := range slices.Sorted(maps.Keys(s.byName[name].events)) {
			list = append(list, subscription{s.byName[name].caller, event})
		}
	}
	return list
}

// end ends one subscription, and tells whether it was there.
func (s *subscriptions) end(one subscription) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	events := s.byName[one.caller.Name].events
	if !events[one.event] {
		return false
	}
	delete(events, one.event)
	if len(events) == 0 {
		delete(s.byName, one.caller.Name)
	}
	return true
}

// parseSubscribe reads the argument of Subscribe: events that this QEMU has.
func parseSubscribe(r *request) error {
	return r.parseEvents(func(name string) error {
		known := r.bridge.commands()
		switch {
		case known.HasEvent(name):
			return nil
		case action.IsListedEvent(name):
			return failuref(errNotSupported, "this QEMU has no event %s", name)
		}
		return r.noEvent(name)
	})
}

// parseUnsubscribe reads the argument of Unsubscribe: besides, events that another QEMU has, of which nothing may be left, or
// had, to which the caller has subscribed.
func parseUnsubscribe(r *request) error {
	return r.parseEvents(func(name string) error {
		if r.bridge.commands().HasEvent(name) || action.IsListedEvent(name) || r.bridge.subscriptions.has(r.Sender, name) {
			return nil
		}
		return r.noEvent(name)
	})
}

// parseEvents reads names of events, which have to pass check.
func (r *request) parseEvents(check func(name string) error) error {
	var events []string
	d := r.Decoder()
	d.Enter()
	for d.More() {
		name := d.String()
		if len(name) > maxEventName {
			return failuref(errInvalidArgs, "events[%d]: longer than %d bytes", len(events), maxEventName)
		}
		if err := check(name); err != nil {
			return err
		}
		events = append(events, name)
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

// noEvent refuses what is no event: who gives a signal's name is told the event's.
func (r *request) noEvent(name string) error {
	meant := eventMeant(name, r.bridge.commands().Events())
	return failuref(errInvalidArgs, "there is no event %s%s", name, didYouMean(meant, "an event's name is like DEVICE_DELETED"))
}

// subscribe decides each event by itself, since each may be of another class. What comes meanwhile may end them
// before the answer; that is a success still, as if it had come right after it.
func subscribe(r *request) {
	events, _ := r.subject.([]string)
	decisions, err := r.decideEvents(events)
	if full := r.bridge.audit.ReserveAll(len(decisions)); full != nil {
		r.fail(failuref(errLimits, "what can't be recorded is not done: %v", full))
		return
	}
	result := resultOK
	if err == nil {
		err = r.bridge.subscriptions.add(r.caller, events)
	}
	if err != nil {
		result = failureOf(err).recorded()
	}
	record := r.record(result)
	for _, record.Decision = range decisions {
		r.bridge.audit.Commit(record)
	}
	if err != nil {
		r.fail(err)
		return
	}
	r.bridge.reviewSubscriptions(r.Sender) // SetPolicy and rename may have looked at them before
	r.replyEmpty()
	if !r.bridge.isKnown(r.Sender) { // it left meanwhile
		r.bridge.subscriptions.forget(r.Sender)
	}
}

// decideEvents asks the policy whether the caller may receive events, up to the first that it may not: then there is an
// error.
func (r *request) decideEvents(events []string) ([]access.Decision, error) {
	var decisions []access.Decision
	for _, event := range events {
		decision := r.policy.Decide(r.caller, action.Event(event), nil)
		decisions = append(decisions, decision)
		if !decision.Allowed() {
			return decisions, failuref(errAccessDenied, "uid %d may not receive the event %s: %s", r.caller.UID, dbusText(event), decision.Reason())
		}
	}
	return decisions, nil
}

func unsubscribe(r *request) {
	events, _ := r.subject.([]string)
	r.bridge.subscriptions.remove(r.Sender, events)
	r.replyEmpty()
}

func (r *request) replyEmpty() {
	r.reply("", func(*wire.Encoder) error { return nil })
}
