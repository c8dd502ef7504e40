package goqemu_test

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/digitalocean/go-qemu/qemu"

	"qmp-dbus-bridge/qmp"
	"qmp-dbus-bridge/qmp/goqemu"
)

// A program for go-qemu gets its monitor here, and is otherwise as it was.
func ExampleBus() {
	monitor := goqemu.Bus("unix:path=/run/qmp-dbus-bridge/vm7/bus", goqemu.BusOptions{})
	if err := monitor.Connect(); err != nil {
		fmt.Println(err)
		return
	}
	look(monitor)
}

// The same without a bridge, on a monitor that nobody else uses.
func ExampleDirect() {
	monitor := goqemu.Direct("/run/qemu/qmp.sock", qmp.Options{})
	if err := monitor.Connect(); err != nil {
		fmt.Println(err)
		return
	}
	look(monitor)
}

func look(monitor *goqemu.Monitor) {
	domain, err := qemu.NewDomain(monitor, "vm7")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer domain.Close() // disconnects the monitor
	status, err := domain.Status()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("status:", status)
	devices, err := domain.BlockDevices()
	if errors.Is(err, fs.ErrPermission) {
		fmt.Println("the bridge's policy keeps us from the drives:", err)
	}
	for _, device := range devices {
		fmt.Println(device.Device, device.Inserted.File)
	}
}
