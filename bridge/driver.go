package bridge

import (
	"context"
	"errors"
	"io"
	"net"

	"github.com/godbus/dbus/v5"

	"qmp-dbus-bridge/bridge/endpoint"
)

// dialDriver opens the connection for calls to the bus itself. It is one of its own, so
// that a seat that is held up can't hold up the lookup it waits for, and takes no file
// descriptors: godbus 5.2.4 leaks those that others send.
func dialDriver(ctx context.Context, address string) (*dbus.Conn, error) {
	path, err := endpoint.SocketPath(address)
	if err != nil {
		return nil, err
	}
	var dialer net.Dialer
	stream, err := dialer.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	silent := context.AfterFunc(ctx, func() { stream.Close() }) // godbus's handshake knows no time limit
	conn, err := dbus.NewConn(struct{ io.ReadWriteCloser }{stream},
		dbus.WithContext(context.WithoutCancel(ctx)), dbus.WithIncomingInterceptor(onlyDriver),
		dbus.WithSignalHandler(dbus.NewSequentialSignalHandler())) // access.NewCallers wants their order
	if err != nil {
		return nil, errors.Join(err, stream.Close())
	}
	if err = conn.Auth(nil); err == nil {
		err = conn.Hello()
	}
	if !silent() {
		err = ctx.Err()
	}
	if err != nil {
		conn.Close() // stream may be closed already
		return nil, err
	}
	return conn, nil
}

// onlyDriver makes godbus pass over every message that is not from the bus itself. It would
// take a reply by its serial alone, whoever sent it: on a bus that lets unrequested
// replies pass, another client could tell who our callers are. The bus sets the sender.
func onlyDriver(m *dbus.Message) {
	const driver = "org.freedesktop.DBus"
	if sender, ok := m.Headers[dbus.FieldSender].Value().(string); !ok || sender != driver {
		m.Type = 0 // no type that the specification has
	}
}
