package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"qmp-dbus-bridge/bridge"
)

// vmstateFlag says whose state QEMU migrates: --vmstate, all helpers' that queue, or --vmstate=ID,ID, these helpers' and no others'.
type vmstateFlag struct {
	given bool
	ids   []string
}

// IsBool says that the flag needs no value.
func (*vmstateFlag) IsBool() bool { return true }

// Decode reads the value, if there is one.
func (f *vmstateFlag) Decode(ctx *kong.DecodeContext) error {
	f.given = true
	if ctx.Scan.Peek().Type != kong.FlagValueToken {
		return nil
	}
	f.ids = strings.Split(fmt.Sprint(ctx.Scan.Pop().Value), ",")
	return f.check()
}

func (f *vmstateFlag) check() error {
	if slices.Contains(f.ids, "") {
		return errors.New("an Id is empty; want --vmstate for all helpers, or --vmstate=ID,ID for some")
	}
	return f.config(false).Check()
}

// config is what the bridge is told. newBus: nobody was on the bus before.
func (f *vmstateFlag) config(newBus bool) *bridge.VMState {
	if !f.given {
		return nil
	}
	return &bridge.VMState{IDs: f.ids, NewBus: newBus}
}
