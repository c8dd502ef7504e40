package qmp_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"qmp-dbus-bridge/qmp"
)

func ExampleDial() {
	ctx := context.Background()
	c, err := qmp.Dial(ctx, "/run/qemu/qmp.sock", qmp.Options{
		OnEvent: func(e qmp.Event) { fmt.Println(e.Name) },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	status, err := c.Execute(ctx, qmp.Command{Name: "query-status"})
	var refused *qmp.Error
	if errors.As(err, &refused) {
		fmt.Println("QEMU says:", refused.Desc)
	}
	fmt.Println(string(status))
}

// ExampleRedialer stays with a QEMU that may be started again.
func ExampleRedialer() {
	r := qmp.Redialer{
		Dial: func(ctx context.Context) (*qmp.Conn, error) {
			return qmp.Dial(ctx, "/run/qemu/qmp.sock", qmp.Options{})
		},
		Up: func(ctx context.Context, c *qmp.Conn) error {
			name, err := c.Execute(ctx, qmp.Command{Name: "query-name"})
			fmt.Println("connected to", string(name))
			return err
		},
		Down: func(reason error) { fmt.Println("QEMU has gone:", reason) },
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	fmt.Println(r.Run(ctx, nil))
}
