package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"qmp-dbus-bridge/bridge"
	"qmp-dbus-bridge/qmp"
)

// introspectCommand is `introspect`: what a bridge would show for a QEMU, without a bus.
type introspectCommand struct {
	QMP    string `name:"qmp" required:"" placeholder:"PATH" help:"QEMU's QMP socket, which must be free: a path, or fd:N for an inherited one."`
	Object string `arg:"" optional:"" default:"${object_path}/QMP" help:"The object whose introspection data is printed. Default: ${object_path}/QMP."`
}

// AfterApply finds the mistakes that the parser can't see; it calls this.
func (c *introspectCommand) AfterApply() error { return checkAddress(c.QMP) }

// Run prints the introspection data of one object.
func (c *introspectCommand) Run(ctx context.Context) error {
	b := bridge.New(bridge.Config{
		Dial: func(ctx context.Context, o qmp.Options) (*qmp.Conn, error) {
			return qmp.Dial(ctx, qmp.Address(c.QMP), o)
		},
		Once:       true,
		ObjectPath: bridge.DefaultObjectPath,
		Version:    version(),
		Log:        slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err := b.Connect(ctx); err != nil {
		return connectAdvice.to(err)
	}
	xml := b.Introspection(c.Object)
	if err := b.Close(); err != nil {
		return err
	}
	if xml == nil {
		return fmt.Errorf("there is no object %s; %s and %s/QMP are", c.Object, bridge.DefaultObjectPath, bridge.DefaultObjectPath)
	}
	_, err := os.Stdout.Write(xml)
	return err
}
