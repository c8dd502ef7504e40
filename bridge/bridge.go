package bridge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/godbus/dbus/v5"

	"qmp-dbus-bridge/bridge/access"
	"qmp-dbus-bridge/bridge/audit"
	"qmp-dbus-bridge/bridge/endpoint"
	"qmp-dbus-bridge/bridge/fdpass"
	"qmp-dbus-bridge/bridge/helper"
	"qmp-dbus-bridge/bridge/qmpserver"
	"qmp-dbus-bridge/qmp"
	"qmp-dbus-bridge/schema"
	"qmp-dbus-bridge/schema/wire"
)

// DefaultObjectPath is where the VM's object is unless Config says otherwise.
const DefaultObjectPath = "/org/qemu/VM1"

// Config is what a Bridge needs to know. Once, Limits, Patience and VMState may be left zero, and BusName and Audit by
// who does not Join.
type Config struct {
	// Dial connects to QEMU's monitor with these options. It is called again after QEMU has
	// gone, unless Once is set.
	Dial func(context.Context, qmp.Options) (*qmp.Conn, error)
	// Once says that there is only one connection to have, an inherited one: when it
	// ends, so does Run.
	Once       bool
	BusName    string // org.qemu.VM1
	ObjectPath string // /org/qemu/VM1
	Version    string // of the bridge
	Audit      *audit.Trail
	Log        *slog.Logger
	Limits     Limits
	Patience   Patience
	VMState    *VMState // nil: whether helpers' state migrates is somebody else's business
}

// Patience is how long the bridge waits, at its start and when QEMU comes back, for others that may be silent. A
// field that is zero stands for its default.
type Patience struct {
	Bus  time.Duration // for a bus to let us in: 5 s; one that works needs milliseconds
	QEMU time.Duration // for a QEMU that greeted to tell what it is: 10 s; it needs some 40 ms
}

func (p Patience) withDefaults() Patience {
	return Patience{Bus: cmp.Or(p.Bus, 5*time.Second), QEMU: cmp.Or(p.QEMU, 10*time.Second)}
}

// Bridge shows one QEMU on a bus.
type Bridge struct {
	config        Config
	log           *slog.Logger
	policy        atomic.Pointer[access.Authorizer] // nil before Join; see SetPolicy
	audit         *audit.Trail
	paths         struct{ vm, qmp string }
	mirror        *mirror
	qom           *qomTree
	helpers       *helper.Follower
	unplugs       *unplugs
	slots         *slots // of commands in turn
	urgent        *slots // of those out of band
	subscriptions *subscriptions
	sessions      *sessions                // of QMP
	listener      *qmpserver.Listener      // at which they may come in; nil without one, see Listen
	known         atomic.Pointer[commands] // of the QEMU connected last
	misfits       tally                    // values that its schema does not have
	unevaluated   tally                    // decisions for which a policy could not be evaluated
	unrecorded    tally                    // denials that the audit could not take
	texts         tally                    // events sent as JSON
	overflows     tally                    // sessions that did not take what they were sent
	unaccepted    tally                    // connections that could not be accepted
	unlisted      tally                    // properties and objects of QEMU's tree that are not shown
	reached       atomic.Pointer[qmp.Conn] // nil while there is none
	losses        *losses                  // of signals
	screens       *screens
	holdings      *fdpass.Holdings // descriptors that QEMU has from here

	address string                        // of the bus; empty before Join
	seat    atomic.Pointer[endpoint.Conn] // nil before Join
	driver  *dbus.Conn                    // for calls to the bus itself

	connection sync.WaitGroup // the goroutine that keeps the one to QEMU
	disconnect func()         // ends it; nil before Run
	callers    *access.Callers
}

// New makes a Bridge. Nothing happens before Connect.
func New(config Config) *Bridge {
	config.Limits = config.Limits.withDefaults()
	config.Patience = config.Patience.withDefaults()
	b := &Bridge{
		config: config, log: config.Log, audit: config.Audit,
		subscriptions: newSubscriptions(config.Limits.Subscriptions), sessions: newSessions(),
	}
	b.paths.vm, b.paths.qmp = config.ObjectPath, config.ObjectPath+"/QMP"
	b.known.Store(newCommands("", new(schema.Table)))
	b.slots = newSlots(inTurn.ForSender(config.Limits.Commands), b.wake)
	b.urgent = newSlots(outOfBand, b.wake)
	b.losses = &losses{announce: b.announceLost}
	b.screens = newScreens(b)
	b.holdings = fdpass.New(b.guestRuns)
	fixed := objects{}
	vm := fixed.add(b.paths.vm, vmInterface(), objectManagerInterface())
	fixed.add(b.paths.qmp, qmpInterface(b.commands), eventsInterface(b.commands))
	b.qom = newQOMTree(b.paths.vm + "/" + nameQOM)
	b.mirror = newMirror(b.log, newLayout(fixed, vm), config.Version, b)
	b.unplugs = newUnplugs(b.mirror)
	b.helpers = helper.New(helper.Config{Bus: helperBus{b}, Show: b.showHelpers, Log: b.log})
	return b
}

// Join takes the bridge's seat on the bus at address, where policy rules: it owns the bus
// name from then on, and QEMU has the object that Config.VMState asks for.
func (b *Bridge) Join(outer context.Context, address string, policy *access.Authorizer) error {
	ctx, cancel := context.WithTimeout(outer, b.config.Patience.Bus)
	defer cancel()
	b.SetPolicy(policy)
	b.address = address
	driver, err := dialDriver(ctx, address)
	if err != nil {
		return fmt.Errorf("bus %s: %w", address, err)
	}
	b.driver = driver
	b.callers = access.NewCallers(driver, access.CallersConfig{
		Log: b.log, Limit: b.config.Limits.Callers,
		OnGone: b.forget, OnNames: b.rename, OnChange: b.helpers.Poke,
	})
	seat, err := endpoint.Dial(ctx, address, endpoint.Config{
		Log: b.log, Limits: b.config.Limits.Limits, Account: b.account,
		OnDrain: func() {
			b.losses.tell()
			b.mirror.retell()
		},
	})
	if err != nil {
		return fmt.Errorf("bus %s: %w", address, err)
	}
	b.seat.Store(seat)
	if err := seat.RequestName(ctx, b.config.BusName); err != nil {
		return err
	}
	return b.setVMState(outer, b.monitor(), b.config.VMState != nil && b.config.VMState.NewBus)
}

// Probe finds out whether a bus lets us in, before there is anything to show there.
func (b *Bridge) Probe(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, b.config.Patience.Bus)
	defer cancel()
	seat, err := endpoint.Dial(ctx, address, endpoint.Config{Log: b.log})
	if err != nil {
		return fmt.Errorf("bus %s: %w", address, err)
	}
	return seat.Close()
}

// Run serves calls, and reconnects to QEMU when it has gone, until ctx ends (nil), the only
// connection that Config.Once allows has ended (nil if QEMU closed it, else why), or the bus
// has gone or taken the name away (why). It is called once, after Connect and Join. The
// connection to QEMU, if there is one, lasts until Close.
func (b *Bridge) Run(outer context.Context) error {
	ctx, cancel := context.WithCancelCause(outer)
	var all sync.WaitGroup
	all.Go(func() { cancel(fmt.Errorf("the bus has gone: %w", b.seat.Load().Serve(b))) })
	all.Go(func() {
		if err := b.callers.Run(ctx); err != nil {
			cancel(fmt.Errorf("the bus has gone: %w", err))
		}
	})
	if b.listener != nil {
		all.Go(b.acceptSessions)
	}
	connected, disconnect := context.WithCancel(context.Background())
	b.disconnect = disconnect
	b.connection.Go(func() { cancel(b.keepConnected(connected)) })
	<-ctx.Done()
	b.sessions.endAll()
	err := errors.Join(b.closeListener(), b.seat.Load().Close())
	all.Wait()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Cause(outer)) && !errors.Is(cause, errQEMUEnded) {
		return cause
	}
	return err
}

// errQEMUEnded is why Run ends when the only connection has ended as it should.
var errQEMUEnded = errors.New("QEMU has ended")

// Close ends what is left of the connections.
func (b *Bridge) Close() error {
	var errs []error
	if b.disconnect != nil {
		b.disconnect()
		b.connection.Wait()
	}
	b.helpers.Close()
	if monitor := b.reached.Swap(nil); monitor != nil {
		errs = append(errs, monitor.Close())
	}
	b.showDisconnected() // what is not done yet if it never ran
	b.screens.close()
	errs = append(errs, b.closeListener())
	b.sessions.close() // all that they have begun is answered by now
	if seat := b.seat.Load(); seat != nil {
		errs = append(errs, seat.Close())
	}
	if b.driver != nil {
		errs = append(errs, b.driver.Close())
	}
	return errors.Join(errs...)
}

// monitor returns the connection to QEMU, or nil.
func (b *Bridge) monitor() *qmp.Conn { return b.reached.Load() }

// commands returns those of the QEMU that was connected last.
func (b *Bridge) commands() *commands { return b.known.Load() }

// wake lets a sender's waiting call try again.
func (b *Bridge) wake(sender string) {
	if s := b.sessions.find(sender); s != nil {
		s.wake()
		return
	}
	b.seat.Load().Wake(sender)
}

// account is the user who answers for a sender, and whether the sender is an administrator.
func (b *Bridge) account(sender string) (user endpoint.Account, admin bool) {
	if caller := b.callers.Known(sender); caller != nil {
		return endpoint.Account(caller.UID), b.policy.Load().Administers(caller)
	}
	return endpoint.Unknown, false
}

// Name is what the QEMU that was connected last calls itself, as the property Name has it.
func (b *Bridge) Name() (name string) {
	b.mirror.look(func(s *state) { name = s.name.String() })
	return name
}

// object returns what is at path at this moment, or nil. Whether an object of QEMU's tree is there, only QEMU knows.
func (b *Bridge) object(path string) *object {
	if o := b.mirror.object(path); o != nil {
		return o
	}
	return b.qom.object(path)
}

// Introspection is the introspection data of the object at path, or nil where none is. QEMU is not asked, so its
// object tree is not in it, and any path below that has the interfaces of an object there.
func (b *Bridge) Introspection(path string) []byte {
	o := b.object(path)
	if o == nil {
		return nil
	}
	return schema.AppendXML(nil, o.node())
}

// forget lets go of all that is held for a caller that has left the bus.
func (b *Bridge) forget(sender string) {
	if seat := b.seat.Load(); seat != nil {
		seat.Forget(sender)
	}
	b.giveBack(sender, nil)
	b.subscriptions.forget(sender)
	b.unplugs.forget(sender)
	b.sessions.endOf(sender)
	b.holdings.Forget(sender)
	b.helpers.Gone(sender)
}

// isKnown tells whether a caller that was known still is. Who takes something for one asks afterwards, since forget may have run
// meanwhile: it takes back only what it finds.
func (b *Bridge) isKnown(sender string) bool { return b.callers.Known(sender) != nil }

// rename has what a caller may receive decided again: it has got or lost a name.
func (b *Bridge) rename(sender string) {
	b.reviewSubscriptions(sender)
	b.reviewSessions(sender)
}

// signal sends a signal if there is a bus to send it on.
func (b *Bridge) signal(destination, path, iface, member, signature string, fill func(*wire.Encoder) error) error {
	seat := b.seat.Load()
	if seat == nil {
		return nil
	}
	return seat.Signal(destination, path, iface, member, signature, fill)
}
