package main

import (
	"errors"
	"slices"
	"strings"

	"qmp-dbus-bridge/bridge"
)

// vmstateFlag says whose state QEMU migrates: --vmstate, all helpers' that queue, or --vmstate=ID,ID, these helpers' and no others'.
type vmstateFlag struct {
	given bool
	ids   []string
}

// Set takes the value, if there is one.
func (f *vmstateFlag) Set(ids string, given bool) error {
	f.given, f.ids = true, nil
	if !given {
		return nil
	}
	f.ids = strings.Split(ids, ",")
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
