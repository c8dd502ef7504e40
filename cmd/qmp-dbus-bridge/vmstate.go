package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

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

// The limits of Ids: QEMU's own, and one of each helper that can be shown.
const (
	maxID  = 255 // bytes
	maxIDs = 64
)

func (f *vmstateFlag) check() error {
	if len(f.ids) > maxIDs {
		return fmt.Errorf("%d Ids; %d are the most", len(f.ids), maxIDs)
	}
	for i, id := range f.ids {
		switch {
		case id == "":
			return errors.New("an Id is empty; want --vmstate for all helpers, or --vmstate=ID,ID for some")
		case !utf8.ValidString(id):
			return fmt.Errorf("the Id %q is not UTF-8", id)
		case len(id) > maxID:
			return fmt.Errorf("an Id has %d bytes; %d are the most", len(id), maxID)
		case slices.Contains(f.ids[:i], id):
			return fmt.Errorf("the Id %q is there twice", id)
		}
	}
	return nil
}

// config is what the bridge is told. newBus: nobody was on the bus before.
func (f *vmstateFlag) config(newBus bool) *bridge.VMState {
	if !f.given {
		return nil
	}
	return &bridge.VMState{IDs: f.ids, NewBus: newBus}
}
