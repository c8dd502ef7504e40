package goqemu

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"
)

// Defaults of BusOptions.
const (
	DefaultBusName    = "org.qemu.VM1"
	DefaultObjectPath = dbus.ObjectPath("/org/qemu/VM1")
	DefaultTimeout    = 25 * time.Second // libdbus's
)

// MaxBusCommand is how large a command may be over the bus, its name and its arguments as JSON without white space: a private bus
// disconnects who sends more than 4 MiB in a message. The bridge has a limit of its own, by default 64 KiB of arguments.
const MaxBusCommand = 4<<20 - 4<<10 // bytes

// BusOptions are for Bus and BusConn; the zero value is good.
type BusOptions struct {
	BusName    string          // empty means DefaultBusName
	ObjectPath dbus.ObjectPath // empty means DefaultObjectPath

	// Subscribe names the events that Events is to subscribe to because they are not sent to all, such as
	// BLOCK_IO_ERROR; docs/api.md says which those are. If the caller may not have one, Events fails. Nil means
	// BLOCK_JOB_COMPLETED, for which go-qemu's own functions wait, if the caller may have it: each try of one who may
	// not is a denial in the bridge's audit, which is why not all are tried.
	Subscribe []string

	// Timeout is how long Connect may take, and Events without a shorter context; 0 means DefaultTimeout. Run has none.
	Timeout time.Duration
}

func (o BusOptions) withDefaults() BusOptions {
	o.BusName = cmp.Or(o.BusName, DefaultBusName)
	o.ObjectPath = cmp.Or(o.ObjectPath, DefaultObjectPath)
	o.Timeout = cmp.Or(o.Timeout, DefaultTimeout)
	return o
}

// Bus gives a Monitor that connects to the D-Bus at the address, whose first Unix socket is taken, as the process's user, and
// has a connection of its own there.
func Bus(address string, options BusOptions) *Monitor {
	return &Monitor{open: func(s *session) (link, error) {
		b := newBus(s, options)
		return b, b.open(func(ctx context.Context) (err error) {
			b.socket, b.conn, err = dial(ctx, address, b)
			return err
		})
	}}
}

// BusConn gives a Monitor that uses a connection of the caller's, with the rights of whoever made that. It must be past
// Hello and take channels for signals (else godbus panics in Connect), as it does if it was made without
// WithSignalHandler or with NewSequentialSignalHandler. The latter keeps the order of signals also where more than
// signalsWaiting, 64, come faster than they are looked at.
//
// The connection stays the caller's and open. While the bus does not read, godbus can't be taken out of a write, so Run
// and Disconnect wait then; a Monitor of Bus does not.
//
// Subscriptions belong to a connection: Disconnect also ends those that others made on it to the events in Subscribe.
func BusConn(conn *dbus.Conn, options BusOptions) *Monitor {
	return &Monitor{open: func(s *session) (link, error) {
		b := newBus(s, options)
		b.conn = conn
		return b, b.open(b.listen)
	}}
}

// The interfaces, and the method that runs commands.
const (
	qmpInterface    = "org.qemu.VM1.QMP"
	eventsInterface = "org.qemu.VM1.QMP.Events"
	methodRun       = qmpInterface + ".CallJson"
)

// bus is a link through the bridge.
type bus struct {
	session *session
	options BusOptions
	conn    *dbus.Conn
	socket  net.Conn          // conn's; nil where that is the caller's
	signals chan *dbus.Signal // nil where the conn is ours: its reader calls DeliverSignal

	mu         sync.Mutex // guards what follows
	owner      string     // the bridge's unique name, empty if there is none
	ownerTold  bool       // by a signal
	subscribed []string
}

func newBus(s *session, options BusOptions) *bus {
	return &bus{session: s, options: options.withDefaults()}
}

// open has a connection made and finds the bridge on it.
func (b *bus) open(connect func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(b.session.ctx, b.options.Timeout)
	defer cancel()
	if err := connect(ctx); err != nil {
		return err
	}
	if err := b.follow(ctx); err != nil {
		b.session.close()
		b.close()
		return late(err)
	}
	return nil
}

// late says what a context's end means.
func late(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("the bus or the bridge did not answer in time: %w", err)
	}
	return err
}

// matches are what the signals look like that we want.
func (b *bus) matches() []string {
	return []string{
		fmt.Sprintf("type='signal',sender='%s',path='%s',interface='%s'", b.options.BusName, b.qmpPath(), eventsInterface),
		fmt.Sprintf("type='signal',sender='%s',interface='%[1]s',member='NameOwnerChanged',arg0='%s'", busItself, b.options.BusName),
	}
}

func (b *bus) qmpPath() dbus.ObjectPath { return b.options.ObjectPath + "/QMP" }

// follow asks for the signals, and who the bridge is.
func (b *bus) follow(ctx context.Context) error {
	for _, match := range b.matches() {
		if err := b.callBus(ctx, "AddMatch", match).Err; err != nil {
			return fromBus(err)
		}
	}
	var owner string
	call := b.callBus(ctx, "GetNameOwner", b.options.BusName)
	if call.Err != nil {
		return fmt.Errorf("no bridge on the bus: %w", fromBus(call.Err))
	}
	if err := call.Store(&owner); err != nil {
		return fmt.Errorf("GetNameOwner: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.ownerTold {
		b.owner = owner
	}
	return nil
}

func (b *bus) callBus(ctx context.Context, method, argument string) *dbus.Call {
	return b.conn.BusObject().CallWithContext(ctx, busItself+"."+method, 0, argument)
}

func (b *bus) call(ctx context.Context, path dbus.ObjectPath, method string, arguments ...any) *dbus.Call {
	return b.conn.Object(b.options.BusName, path).CallWithContext(ctx, method, dbus.FlagNoAutoStart, arguments...)
}

func (b *bus) run(ctx context.Context, c command) ([]byte, error) {
	if size := len(c.name) + len(c.arguments); size > MaxBusCommand {
		return nil, fmt.Errorf("command: name and arguments have %d bytes; %d is the most over a bus", size, MaxBusCommand)
	}
	call := b.call(ctx, b.qmpPath(), methodRun, c.name, string(c.arguments))
	if call.Err != nil {
		return nil, fromBus(call.Err)
	}
	var returned string
	if err := call.Store(&returned); err != nil {
		return nil, fmt.Errorf("%s: %w", methodRun, err)
	}
	return []byte(returned), nil
}

// watch gets the events' names, and subscribes.
func (b *bus) watch(ctx context.Context, one *stream) error {
	ctx, cancel := context.WithTimeout(ctx, b.options.Timeout)
	defer cancel()
	if err := b.present(); err != nil {
		return err
	}
	names, err := b.eventNames(ctx)
	if err != nil {
		return late(err)
	}
	one.nameOf = names.of
	wanted := b.options.Subscribe
	if wanted == nil {
		wanted = []string{"BLOCK_JOB_COMPLETED"}
	}
	for _, name := range wanted {
		err := b.subscribe(ctx, name)
		if err != nil && (b.options.Subscribe != nil || !errors.Is(err, fs.ErrPermission)) {
			return fmt.Errorf("subscribe to %s: %w", name, late(err))
		}
	}
	return nil
}

func (b *bus) subscribe(ctx context.Context, name string) error {
	if err := b.call(ctx, b.options.ObjectPath, "org.qemu.VM1.Subscribe", []string{name}).Err; err != nil {
		return fromBus(err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !slices.Contains(b.subscribed, name) {
		b.subscribed = append(b.subscribed, name)
	}
	return nil
}

// close closes a connection that is ours, and leaves no trace on one that is not.
func (b *bus) close() {
	if b.socket != nil {
		b.socket.Close() // first: godbus's Close waits for writes
		b.conn.Close()
		return
	}
	b.conn.RemoveSignal(b.signals)
	for _, match := range b.matches() {
		b.conn.BusObject().Go(busItself+".RemoveMatch", dbus.FlagNoReplyExpected, nil, match)
	}
	if len(b.subscribed) > 0 { // nobody else has it any more
		b.conn.Object(b.options.BusName, b.options.ObjectPath).
			Go("org.qemu.VM1.Unsubscribe", dbus.FlagNoReplyExpected|dbus.FlagNoAutoStart, nil, b.subscribed)
	}
}
