package goqemu

import (
	"bytes"
	"context"
	"errors"

	"qmp-dbus-bridge/qmp"
)

// Direct gives a Monitor that connects to QEMU's own socket by [qmp.Dial], with options as there; an OnEvent among them is
// called too.
func Direct(address qmp.Address, options qmp.Options) *Monitor {
	return &Monitor{open: func(s *session) (link, error) { return openDirect(s, address, options) }}
}

type direct struct{ conn *qmp.Conn }

func openDirect(s *session, address qmp.Address, options qmp.Options) (link, error) {
	also := options.OnEvent
	options.OnEvent = func(e qmp.Event) {
		if also != nil {
			also(e)
		}
		if s.watched() {
			s.tell(event{name: e.Name, data: bytes.Clone(e.Data), timestamp: e.Timestamp})
		}
	}
	conn, err := qmp.Dial(s.ctx, address, options)
	if err != nil {
		return nil, err
	}
	s.start(func() {
		select {
		case <-conn.Done():
			s.end()
		case <-s.ctx.Done():
		}
	})
	return direct{conn}, nil
}

func (d direct) run(ctx context.Context, c command) ([]byte, error) {
	returned, err := d.conn.Execute(ctx, qmp.Command{Name: c.name, Arguments: c.arguments})
	if refused, ok := errors.AsType[*qmp.Error](err); ok {
		return nil, &refusal{refused}
	}
	return returned, err
}

// watch only looks whether events can still come: streams are told of the end after Err knows of it.
func (d direct) watch(context.Context, *stream) error { return d.conn.Err() }

func (d direct) close() { d.conn.Close() }
