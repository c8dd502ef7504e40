package goqemu

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"
)

// dial connects to a bus, and returns when that has said Hello. godbus would do so too, but would then wait for ever for a bus that
// says nothing, and Close for one that does not read: so the socket is ours.
func dial(ctx context.Context, address string, handler dbus.SignalHandler) (net.Conn, *dbus.Conn, error) {
	path, err := socketPath(address)
	if err != nil {
		return nil, nil, err
	}
	socket, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err != nil {
		return nil, nil, fmt.Errorf("bus: %w", err)
	}
	conn, err := greet(ctx, socket, handler)
	if err != nil {
		socket.Close()
		return nil, nil, fmt.Errorf("bus %q: %w", address, err)
	}
	return socket, conn, nil
}

// greet authenticates as the process's user.
func greet(ctx context.Context, socket net.Conn, handler dbus.SignalHandler) (*dbus.Conn, error) {
	deadline, _ := ctx.Deadline() // open has set one
	if err := socket.SetDeadline(deadline); err != nil {
		return nil, err
	}
	conn, err := dbus.NewConn(buffered{socket, bufio.NewReader(socket)}, dbus.WithSignalHandler(handler))
	if err != nil {
		return nil, err
	}
	err = conn.Auth([]dbus.Auth{dbus.AuthExternal(strconv.Itoa(os.Geteuid()))})
	if err == nil {
		err = conn.Hello()
	}
	if err == nil {
		err = socket.SetDeadline(time.Time{})
	}
	if err != nil {
		socket.Close()
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// buffered is a socket from which godbus reads a few bytes at a time.
type buffered struct {
	net.Conn
	in *bufio.Reader
}

func (b buffered) Read(p []byte) (int, error) { return b.in.Read(p) }

// socketPath is that of the first Unix socket in a D-Bus address list; "@" begins an abstract one.
func socketPath(address string) (string, error) {
	for entry := range strings.SplitSeq(address, ";") {
		options, _ := strings.CutPrefix(entry, "unix:")
		for option := range strings.SplitSeq(options, ",") {
			key, value, _ := strings.Cut(option, "=")
			if key != "path" && key != "abstract" || options == entry {
				continue
			}
			path, err := dbus.UnescapeBusAddressValue(value)
			if err != nil {
				return "", fmt.Errorf("bus address %q: %w", address, err)
			}
			if key == "abstract" {
				path = "@" + path
			}
			return path, nil
		}
	}
	return "", fmt.Errorf("bus address %q: %w", address, errNoSocket)
}

var errNoSocket = errors.New("names no Unix socket (unix:path=... or unix:abstract=...)")
