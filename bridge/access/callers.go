package access

import (
	"cmp"
	"container/list"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"
)

// DefaultCallers is how many callers are known at a time unless CallersConfig says otherwise; a bus of one VM has
// some tens.
const DefaultCallers = 1024

// CallersConfig is what a Callers may be told; all of it can be left out.
type CallersConfig struct {
	Log *slog.Logger // learns what has to be done without; nil: slog's default
	// Limit is how many callers are known at a time: one more, and the one that was not asked for the longest is
	// looked up anew when it calls again. 0: DefaultCallers.
	Limit int
	// OnGone is called with every unique name that leaves the bus, known or not, after it was forgotten, and OnNames
	// with every one that has got or lost a well-known name, after Update tells so. Run calls them; they must not block.
	OnGone, OnNames func(name string)
	// OnChange is called after each change of who is on the bus, or owns which name, and when it is known who owns which at the start.
	// Run calls it; it must not block.
	OnChange func()
}

func (c CallersConfig) withDefaults() CallersConfig {
	c.Log, c.Limit = cmp.Or(c.Log, slog.Default()), cmp.Or(c.Limit, DefaultCallers)
	if c.OnGone == nil {
		c.OnGone = func(string) {}
	}
	if c.OnNames == nil {
		c.OnNames = func(string) {}
	}
	if c.OnChange == nil {
		c.OnChange = func() {}
	}
	return c
}

const (
	maxWaiting  = 256         // calls waiting for one lookup: a sender's queue
	rememberFor = time.Second // a failed lookup, so that calls after it don't each cost another

	driver     = "org.freedesktop.DBus"
	driverPath = dbus.ObjectPath("/org/freedesktop/DBus")
)

var (
	// ErrPending says that a lookup is under way and that the callback given will be called.
	ErrPending = errors.New("identity not known yet")
	// ErrLimit says that too much is being looked up already; the call has to be refused.
	ErrLimit = errors.New("too many callers to identify")
)

// Callers knows who is behind the unique names of a bus. Run has to be running; Lookup may be called
// by any goroutine at any time.
type Callers struct {
	bus    *dbus.Conn
	config CallersConfig

	watching chan struct{} // closed when the bus tells of every name that goes
	ended    chan struct{} // closed when Run ends
	slots    chan struct{} // one element per question that the bus has not answered
	lookups  sync.WaitGroup

	mu     sync.Mutex // guards what follows; held for no longer than a map operation
	known  map[string]*entry
	recent *list.List // of *entry, the one used last in front
	owners owners
	closed bool
}

// NewCallers returns a Callers that asks over bus. That connection stays the caller's to close, after Run; it should
// serve nothing else, so that no traffic can hold up a lookup, and better have no fd passing: godbus leaks the fds that
// other clients send. It has to deliver signals in their order (dbus.NewSequentialSignalHandler), or names may be taken for
// somebody's who has lost them.
func NewCallers(bus *dbus.Conn, config CallersConfig) *Callers {
	return &Callers{
		bus:      bus,
		config:   config.withDefaults(),
		watching: make(chan struct{}),
		ended:    make(chan struct{}),
		slots:    make(chan struct{}, maxLookups),
		known:    make(map[string]*entry),
		recent:   list.New(),
		owners:   owners{names: make(map[string][]string)},
	}
}

// Run watches the bus and answers lookups until ctx ends, which is no error, or the bus connection does.
// When it returns, all callers are forgotten, every lookup has failed and no goroutine is left. It runs
// once.
func (c *Callers) Run(ctx context.Context) error {
	defer c.end()
	signals := make(chan *dbus.Signal, 64)
	c.bus.Signal(signals)
	defer c.bus.RemoveSignal(signals)
	if err := c.watch(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("callers: watch the bus: %w", err)
	}
	c.readNames(ctx)
	c.config.OnChange()
	close(c.watching)
	for {
		select {
		case <-ctx.Done():
			return nil
		case signal, ok := <-signals:
			if !ok {
				return fmt.Errorf("callers: %w", dbus.ErrClosed)
			}
			c.hear(signal)
		}
	}
}

func (c *Callers) watch(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	return c.bus.AddMatchSignalContext(ctx,
		dbus.WithMatchSender(driver),
		dbus.WithMatchObjectPath(driverPath),
		dbus.WithMatchInterface(driver),
		dbus.WithMatchMember("NameOwnerChanged"),
	)
}

// hear takes note of a signal of the bus. The sender is set by the bus: a signal that another client made up has that
// client's.
func (c *Callers) hear(signal *dbus.Signal) {
	var name, from, to string
	switch {
	case signal.Sender != driver || signal.Path != driverPath || signal.Name != driver+".NameOwnerChanged",
		dbus.Store(signal.Body, &name, &from, &to) != nil:
		return
	case !strings.HasPrefix(name, ":"):
		for _, unique := range c.moved(name, from, to) {
			c.config.OnNames(unique)
		}
	case to == "" && isUniqueName(name):
		c.forget(name)
		c.config.OnGone(name)
	}
	c.config.OnChange()
}

// Lookup returns who is behind a unique name. It never blocks. When that is not known yet, the error is
// ErrPending, and ready is called once, on another goroutine and without any lock held, when Lookup
// will answer; ready must not block. ErrNoIdentity: nobody knows, which is remembered for a
// second. ErrLimit: too many lookups; ready is not called.
func (c *Callers) Lookup(name string, ready func()) (*Caller, error) {
	if !isUniqueName(name) {
		return nil, noIdentity(name, "not a unique name")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, noIdentity(name, errEnded.Error())
	}
	e := c.known[name]
	if e != nil && e.stale() {
		c.remove(e)
		e = nil
	}
	if e == nil {
		return nil, c.start(name, ready)
	}
	c.recent.MoveToFront(e.place)
	if e.settled {
		return e.caller, e.err
	}
	return nil, e.wait(ready)
}

// Known returns who is behind a unique name if that is known already, else nil. It looks nothing up.
func (c *Callers) Known(name string) *Caller {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.known[name]; e != nil && e.settled {
		return e.caller
	}
	return nil
}

// forget drops a name that has gone. A lookup that is under way fails and stays remembered as failed, so that
// those who wait get an answer.
func (c *Callers) forget(name string) {
	c.mu.Lock()
	delete(c.owners.names, name)
	e := c.known[name]
	if e == nil {
		c.mu.Unlock()
		return
	}
	if e.settled {
		c.remove(e)
		c.mu.Unlock()
		return
	}
	c.mu.Unlock()
	c.settle(e, nil, noIdentity(name, "left the bus"))
}

// end fails what is under way, forgets all and joins the lookups.
func (c *Callers) end() {
	c.mu.Lock()
	c.closed = true
	known := c.known
	c.known = nil
	c.recent.Init()
	c.mu.Unlock()
	close(c.ended)
	for name, e := range known {
		c.settle(e, nil, noIdentity(name, errEnded.Error()))
	}
	c.lookups.Wait()
}
