package bridge

import (
	"maps"
	"slices"
)

// announcer tells the bus of changes. What it returns an error for was not told.
type announcer interface {
	announceAdded(*object) error
	announceRemoved(*object) error
	announceChanged(before, now *object) error
	announceEnd(*object) error
}

// audience is what the bus has been told, from which follows what it is to be told next. Where the bus took only a
// part of what changed, that is no state that ever was.
type audience struct {
	announcer
	vm       *object
	objects  [tellers]map[string]*object // of each teller, by path
	complete [tellers]*reading           // of which objects shows all; nil: of none
}

func newAudience(a announcer, s *state) *audience {
	return &audience{announcer: a, vm: s.vm, complete: s.readings}
}

// catchUp announces what is different now, up to where the bus does not take it. Objects come before the VM's
// own properties, so that who sees it connected finds them.
func (a *audience) catchUp(now *state) error {
	for q, r := range now.readings {
		if err := a.follow(q, r); err != nil {
			return err
		}
	}
	if a.vm == now.vm {
		return nil
	}
	if !slices.Equal(a.vm.values, now.vm.values) { // else its children differ, of which its objects tell
		if err := a.announceChanged(a.vm, now.vm); err != nil {
			return err
		}
	}
	a.vm = now.vm
	return nil
}

// follow announces how the objects of a query differ.
func (a *audience) follow(q int, r *reading) error {
	if a.complete[q] == r {
		return nil
	}
	a.complete[q] = nil
	if a.objects[q] == nil {
		a.objects[q] = map[string]*object{}
	}
	for _, path := range slices.Sorted(maps.Keys(a.objects[q])) {
		if r.find(path) != nil {
			continue
		}
		if err := a.announceRemoved(a.objects[q][path]); err != nil {
			return err
		}
		delete(a.objects[q], path)
	}
	for _, o := range r.objects {
		if err := a.tell(a.objects[q], o); err != nil {
			return err
		}
	}
	a.complete[q] = r
	return nil
}

// tell announces an object that is new or another than what is known, and then that its job has ended, if it has since.
func (a *audience) tell(known map[string]*object, now *object) error {
	before := known[now.path]
	switch {
	case before == now:
		return nil
	case before == nil:
		before = &object{}
		if err := a.announceAdded(now); err != nil {
			return err
		}
	default:
		if err := a.announceChanged(before, now); err != nil {
			return err
		}
	}
	if now.end != 0 && now.end != before.end {
		running := *now
		running.end = before.end
		known[now.path] = &running // until that is told too
		if err := a.announceEnd(now); err != nil {
			return err
		}
	}
	known[now.path] = now
	return nil
}
