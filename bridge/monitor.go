package bridge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"

	"qmp-dbus-bridge/bridge/inventory"
	"qmp-dbus-bridge/qmp"
	"qmp-dbus-bridge/schema"
	"qmp-dbus-bridge/schema/wire"
)

// Connect reaches QEMU and reads what it is.
func (b *Bridge) Connect(ctx context.Context) error {
	read, err := b.Reach(ctx)
	if err != nil {
		return err
	}
	return read()
}

// Reach is Connect that returns when QEMU has greeted. What it is, is read meanwhile: read waits for that, and is called once in
// every case, before anything else of the Bridge.
func (b *Bridge) Reach(ctx context.Context) (read func() error, err error) {
	monitor, err := b.dial(ctx)
	if err != nil {
		return nil, err
	}
	adopted := make(chan error, 1)
	go func() { adopted <- b.adopt(ctx, monitor) }()
	return func() error {
		if err := <-adopted; err != nil {
			err = errors.Join(err, monitor.Close())
			b.reached.Store(nil)
			b.showDisconnected()
			return err
		}
		return nil
	}, nil
}

// dial connects, with the events of the connection going to onEvent.
func (b *Bridge) dial(ctx context.Context) (*qmp.Conn, error) {
	return b.config.Dial(ctx, qmp.Options{OnEvent: b.onEvent, Logger: b.log, MaxLine: b.config.Limits.Reply})
}

// adopt makes monitor the connection that callers' commands go to, once it has told all that
// the properties show. Most of that is asked while QEMU writes its schema, and while that is read.
func (b *Bridge) adopt(ctx context.Context, monitor *qmp.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, b.config.Patience.QEMU)
	defer cancel()
	identify := interview(monitor)
	var tables *question
	if b.commands().kind == "" { // whatever this one is
		tables = askSchema(monitor)
	}
	display := askDisplay(monitor)
	id, err := identify(ctx)
	if err != nil {
		return fmt.Errorf("QEMU: %w", err)
	}
	learn := b.askCommands(monitor, id.target.String(), tables)
	a := &arrival{identity: id, take: func() { b.reached.Store(monitor) }}
	b.mirror.connect(monitor, a)
	if err := learn(ctx); err != nil {
		return fmt.Errorf("QEMU: %w", err)
	}
	if err := b.warnOfExposure(ctx, monitor, display); err != nil {
		return fmt.Errorf("QEMU: %w", err)
	}
	shown := make(chan struct{})
	b.mirror.admit(a, func() { close(shown) })
	select {
	case <-shown:
		b.holdings.Gather(monitor)
		return monitor.Err()
	case <-monitor.Done():
		return monitor.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// keepConnected serves the connection, shows its end, and makes a new one, until ctx ends
// or there is no other to be had: then it returns errQEMUEnded, or what broke it.
func (b *Bridge) keepConnected(ctx context.Context) error {
	redialer := qmp.Redialer{
		Dial:   b.dial,
		Once:   b.config.Once,
		Up:     b.up,
		Down:   b.down,
		Logger: b.log,
	}
	err := redialer.Run(ctx, b.monitor())
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) { // the latter with our bytes unread
		return errQEMUEnded
	}
	return err
}

// up takes a new connection into use; the first one is already.
func (b *Bridge) up(ctx context.Context, monitor *qmp.Conn) error {
	if monitor == b.monitor() {
		return nil
	}
	if err := b.adopt(ctx, monitor); err != nil {
		return err
	}
	b.log.Info("connected to QEMU", "version", monitor.Version())
	if err := b.setVMState(ctx, monitor, false); err != nil {
		b.log.Error("no state of helpers will migrate", "error", err) // Start refuses; all else works
	}
	return nil
}

// down shows that the connection has ended. Its pending calls have been answered.
func (b *Bridge) down(reason error) {
	b.reached.Store(nil)
	b.showDisconnected()
	b.screens.disconnect()
	b.sessions.endAll()
	if errors.Is(reason, context.Canceled) { // it is we who go
		return
	}
	b.log.Info("QEMU has gone", "reason", reason)
}

// showDisconnected has all know that there is no QEMU.
func (b *Bridge) showDisconnected() {
	b.mirror.disconnect()
	b.unplugs.disconnect()
}

// Command executes a QMP command without arguments by the bridge's own right: it is for
// the program that the bridge is part of, not for callers.
func (b *Bridge) Command(ctx context.Context, name string) error {
	monitor := b.monitor()
	if monitor == nil {
		return qmp.ErrClosed
	}
	_, err := monitor.Execute(ctx, qmp.Command{Name: name})
	return err
}

// askSchema asks a QEMU for its commands.
func askSchema(monitor *qmp.Conn) *question {
	return ask(monitor, qmp.Command{Name: "query-qmp-schema"})
}

// askCommands asks a QEMU for its commands, unless asked has done that, and returns what makes them those on the bus. They are asked for
// once for each kind of QEMU, because telling them costs it 19 to 35 ms, and another 3 before it does anything else (7.2.22).
func (b *Bridge) askCommands(monitor *qmp.Conn, target string, asked *question) (learn func(context.Context) error) {
	version := monitor.Version()
	kind := fmt.Sprintf("%s|%s|%s", version, version.Package, target)
	before := b.commands()
	if before.kind == kind {
		return func(context.Context) error { return nil }
	}
	if asked == nil {
		asked = askSchema(monitor)
	}
	return func(ctx context.Context) error {
		tables, err := asked.result(ctx)
		if err != nil {
			return fmt.Errorf("query-qmp-schema: %w", forLog(err))
		}
		table, err := schema.ParseTable(tables)
		if err != nil {
			return err
		}
		b.noteUntyped(table)
		b.known.Store(newCommands(kind, table))
		if before.kind != "" {
			b.announceInterfaces() // before this QEMU is shown as connected
		}
		return nil
	}
}

// announceInterfaces tells that the interfaces made of QEMU's commands and events are others
// now.
func (b *Bridge) announceInterfaces() {
	err := errors.Join(
		b.signal("", b.paths.vm, interfaceObjectManager, "InterfacesRemoved", "oas", func(e *wire.Encoder) error {
			e.ObjectPath(b.paths.qmp)
			e.OpenArray("s")
			e.String(interfaceQMP)
			e.String(interfaceEvents)
			e.CloseArray()
			return nil
		}),
		b.signal("", b.paths.vm, interfaceObjectManager, "InterfacesAdded", "oa{sa{sv}}", func(e *wire.Encoder) error {
			e.ObjectPath(b.paths.qmp)
			e.OpenArray("{sa{sv}}")
			for _, name := range []string{interfaceQMP, interfaceEvents} {
				e.OpenDictEntry()
				e.String(name)
				e.OpenArray("{sv}")
				e.CloseArray()
				e.CloseDictEntry()
			}
			e.CloseArray()
			return nil
		}))
	if err != nil {
		b.log.Warn("new commands of QEMU were not announced", "error", err)
	}
}

// interview asks a QEMU that has just been reached what it is, and returns what waits for that.
func interview(monitor *qmp.Conn) (identify func(context.Context) (identity, error)) {
	var name struct {
		Name string `json:"name"`
	}
	var uuid struct {
		UUID string `json:"UUID"`
	}
	var target struct {
		Arch string `json:"arch"`
	}
	questions := []struct {
		*question
		into any
	}{
		{ask(monitor, qmp.Command{Name: "query-name"}), &name},
		{ask(monitor, qmp.Command{Name: "query-uuid"}), &uuid},
		{ask(monitor, qmp.Command{Name: "query-target"}), &target},
	}
	return func(ctx context.Context) (id identity, err error) {
		for _, q := range questions {
			if err := q.read(ctx, q.into); err != nil {
				return id, err
			}
		}
		id.version = inventory.Text(monitor.Version().String())
		id.name, id.target = inventory.Text(name.Name), inventory.Text(target.Arch)
		if uuid.UUID == "" {
			return id, nil
		}
		canonical, err := canonicalUUID(uuid.UUID)
		id.uuid = inventory.Text(canonical)
		return id, err
	}
}
