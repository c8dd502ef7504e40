package bridge_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/e2e/rig"
)

// caller is a client on the bus.
type caller struct {
	tb testing.TB
	*dbus.Conn
	watching bool
	unique   string // name, also after the connection has ended
}

// call calls a method by its full name and returns its only result, if it has one.
func (c *caller) call(path dbus.ObjectPath, method string, args ...any) (any, error) {
	c.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), rig.Timeout)
	defer cancel()
	reply := c.Object(busName, path).CallWithContext(ctx, method, 0, args...)
	if errors.Is(reply.Err, context.DeadlineExceeded) {
		c.tb.Fatalf("%s was not answered", method)
	}
	if len(reply.Body) == 0 {
		return nil, reply.Err
	}
	return reply.Body[0], reply.Err
}

// vm calls a method of org.qemu.VM1 for what it does.
func (c *caller) vm(method string, args ...any) error {
	c.tb.Helper()
	result, err := c.call(vmPath, busName+"."+method, args...)
	if fd, ok := result.(dbus.UnixFD); ok {
		unix.Close(int(fd))
	}
	return err
}

// execute runs a command without arguments by Call.
func (c *caller) execute(command string) (any, error) {
	c.tb.Helper()
	result, err := c.call(qmpPath, call, command, none)
	if v, ok := result.(dbus.Variant); ok {
		return v.Value(), err
	}
	return result, err
}

// none is no arguments.
var none = map[string]dbus.Variant{}

// get reads a property of org.qemu.VM1.
func get[T any](c *caller, name string) T {
	c.tb.Helper()
	v, err := c.call(vmPath, propsIf+".Get", busName, name)
	if err != nil {
		c.tb.Fatalf("Get %s: %v", name, err)
	}
	return v.(dbus.Variant).Value().(T)
}

// watch returns the signals of the bridge that match. A caller can watch once: godbus
// gives all that matches anything to every channel.
func (c *caller) watch(match ...dbus.MatchOption) <-chan *dbus.Signal {
	c.tb.Helper()
	if c.watching {
		c.tb.Fatal("a caller can watch once")
	}
	c.watching = true
	if err := c.AddMatchSignal(append(match, dbus.WithMatchSender(busName))...); err != nil {
		c.tb.Fatal(err)
	}
	signals := make(chan *dbus.Signal, 100000)
	c.Signal(signals)
	return signals
}

// next waits for a signal.
func next(tb testing.TB, signals <-chan *dbus.Signal) *dbus.Signal {
	tb.Helper()
	select {
	case s := <-signals:
		return s
	case <-time.After(rig.Timeout):
		tb.Fatal("no signal came")
		return nil
	}
}

// errorName is the D-Bus name of an error, "" of none.
func errorName(err error) string {
	var e dbus.Error
	switch {
	case err == nil:
		return ""
	case errors.As(err, &e):
		return e.Name
	}
	return err.Error()
}
