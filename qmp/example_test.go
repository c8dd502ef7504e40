package qmp_test

import (
	"context"
	"errors"
	"fmt"

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
