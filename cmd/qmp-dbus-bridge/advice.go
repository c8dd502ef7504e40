package main

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"qmp-dbus-bridge/bridge/endpoint"
	"qmp-dbus-bridge/qmp"
)

// advice tells what to do about the errors that a new user meets. The first that
// matches counts.
var advice = []struct {
	when error
	say  string
}{
	{qmp.ErrBusy, "close the other client, or give QEMU a second -qmp socket"},
	{endpoint.ErrNameTaken, "another bridge serves there: use another bus, or --bus-name"},
	{syscall.ENOENT, "start QEMU with -qmp unix:PATH,server=on,wait=off, or correct the path"},
	{syscall.ECONNREFUSED, "nobody listens there: is QEMU still running?"},
	{syscall.EACCES, "run the bridge as the user that may open it"},
}

// advise adds to an error what can be done about it, if that is known.
func advise(err error) error {
	for _, a := range advice {
		if errors.Is(err, a.when) {
			return fmt.Errorf("%w; %s", err, a.say)
		}
	}
	return err
}

// oneLine keeps a message on its line: joined errors have one each.
func oneLine(err error) string {
	return strings.ReplaceAll(err.Error(), "\n", "; ")
}
