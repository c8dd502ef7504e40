package access

import (
	"container/list"
	"errors"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"
)

const (
	lookupTimeout = time.Second
	maxLookups    = 16 // questions on the bus at a time: a silent bus must not pile them up
)

var (
	errEnded   = errors.New("not on the bus")
	errTimeout = errors.New("no answer from the bus")
)

// entry is what is known about one unique name. Callers.mu guards it.
type entry struct {
	name    string
	place   *list.Element
	waiting []func()

	settled bool // caller and err are final
	caller  *Caller
	err     error
	expires time.Time // with err
}

// stale tells whether a failure is old enough for another try.
func (e *entry) stale() bool { return e.settled && e.err != nil && time.Now().After(e.expires) }

func (e *entry) wait(ready func()) error {
	if len(e.waiting) >= maxWaiting {
		return ErrLimit
	}
	e.waiting = append(e.waiting, ready)
	return ErrPending
}

// start begins a lookup. It wants c.mu held.
func (c *Callers) start(name string, ready func()) error {
	if len(c.known) >= c.config.Limit && !c.dropOldest() {
		return ErrLimit
	}
	name = strings.Clone(name) // it may be a part of a message that need not be kept
	e := &entry{name: name, waiting: []func(){ready}}
	e.place = c.recent.PushFront(e)
	c.known[name] = e
	c.lookups.Add(1)
	go c.identify(e)
	return ErrPending
}

// dropOldest forgets the caller that was not asked for the longest. It wants c.mu held.
func (c *Callers) dropOldest() bool {
	for place := c.recent.Back(); place != nil; place = place.Prev() {
		if e := place.Value.(*entry); e.settled {
			c.remove(e)
			return true
		}
	}
	return false
}

// remove wants c.mu held.
func (c *Callers) remove(e *entry) {
	delete(c.known, e.name)
	c.recent.Remove(e.place)
}

// settle makes the outcome of a lookup known, unless there is one already.
func (c *Callers) settle(e *entry, caller *Caller, err error) {
	c.mu.Lock()
	if e.settled {
		c.mu.Unlock()
		return
	}
	e.settled, e.caller, e.err = true, caller, err
	c.tellNames(e.name)
	e.expires = time.Now().Add(rememberFor)
	waiting := e.waiting
	e.waiting = nil
	c.mu.Unlock()
	for _, ready := range waiting {
		ready()
	}
}

// identify asks the bus for one caller. After the time limit the answer is still waited for, because it may carry
// an fd that has to be closed; its slot stays taken until then.
func (c *Callers) identify(e *entry) {
	defer c.lookups.Done()
	deadline := time.NewTimer(lookupTimeout)
	defer deadline.Stop()
	if err := c.admit(deadline.C); err != nil {
		c.settle(e, nil, noIdentity(e.name, err.Error()))
		return
	}
	defer func() { <-c.slots }()
	question := c.bus.Object(driver, driverPath).Go(
		driver+".GetConnectionCredentials", 0, make(chan *dbus.Call, 1), e.name)
	for {
		select {
		case answer := <-question.Done:
			caller, err := readAnswer(e.name, answer)
			c.settle(e, caller, err)
			return
		case <-deadline.C:
			c.settle(e, nil, noIdentity(e.name, errTimeout.Error()))
		case <-c.ended: // and with it the connection; end settles
			return
		}
	}
}

// admit waits until the bus is watched, so that no name can go unnoticed, and has a slot free.
func (c *Callers) admit(deadline <-chan time.Time) error {
	select {
	case <-c.watching:
	case <-deadline:
		return errTimeout
	case <-c.ended:
		return errEnded
	}
	select {
	case c.slots <- struct{}{}:
		return nil
	case <-deadline:
		return errTimeout
	case <-c.ended:
		return errEnded
	}
}

// readAnswer turns the bus's answer into a caller and closes the fds in it (ProcessFD).
func readAnswer(name string, answer *dbus.Call) (*Caller, error) {
	defer closeFDs(answer.Body)
	if answer.Err != nil {
		return nil, noIdentity(name, answer.Err.Error())
	}
	// Not Call.Store, which takes a dictionary of numbers for one of variants.
	if len(answer.Body) == 1 {
		if credentials, ok := answer.Body[0].(map[string]dbus.Variant); ok {
			return ParseCredentials(name, credentials)
		}
	}
	return nil, noIdentity(name, "the bus's answer is not a{sv}")
}
