package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"

	"qmp-dbus-bridge/bridge/endpoint"
	"qmp-dbus-bridge/qmp"
)

// advice tells what to do about errors that a new user meets.
type advice []struct {
	when error
	say  string
}

// connectAdvice is for reaching QEMU.
var connectAdvice = advice{
	{qmp.ErrBusy, "close the other client, or give QEMU a second -qmp socket"},
	{syscall.ENOENT, "start QEMU with -qmp unix:PATH,server=on,wait=off, or correct --qmp"},
	{syscall.ECONNREFUSED, "nobody listens there: is QEMU still running?"},
	{syscall.EACCES, "run the bridge as the user that may open it"},
	{context.DeadlineExceeded, "QEMU does not answer: does it hang?"},
}

// joinAdvice is for joining a bus.
var joinAdvice = advice{
	{endpoint.ErrNameTaken, "another bridge serves there: use another bus, or --bus-name"},
	{syscall.ENOENT, "start that bus, correct --bus, or leave it out for a private one"},
	{syscall.ECONNREFUSED, "nobody listens there: start that bus, or leave --bus out for a private one"},
	{syscall.EACCES, "run the bridge as a user that may connect"},
	{context.DeadlineExceeded, "that bus does not answer"},
}

// to adds to an error what can be done about it, if that is known. The first that matches
// counts.
func (list advice) to(err error) error {
	for _, a := range list {
		if errors.Is(err, a.when) {
			return fmt.Errorf("%w; %s", err, a.say)
		}
	}
	return err
}

// oneLine keeps a message on its line, since joined errors have one each, and makes it harmless on
// a terminal: parts of it may be QEMU's words.
func oneLine(err error) string {
	var b strings.Builder
	for _, r := range strings.ReplaceAll(err.Error(), "\n", "; ") {
		if strconv.IsPrint(r) {
			b.WriteRune(r)
		} else {
			quoted := strconv.QuoteRune(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
	}
	return b.String()
}
