package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// The monitors of the machine, in the order of its command line.
const (
	monitorBefore = iota // raw events; beside the next two in QEMU's list
	monitorBridge
	monitorRelay
	monitorAfter // raw events; beside them on the other side
	monitorRaw
	monitorForwarder
	monitorTrigger
	monitorOwnBus
	monitorStart
	monitorLarge
	monitorCount
)

// The monitors of the furnished machine.
const (
	furnishedBridge = monitorCount + iota
	furnishedStart
	furnishedEnd
)

// The monitor of the machine that writes commands down.
const (
	tracedBridge = furnishedEnd + iota
	tracedEnd
)

// stage is all that takes part: processes and where they are.
type stage struct {
	options
	self     string // our own program, for the raw services
	dir      string
	bus      string // the socket
	ownBus   string // that of the bridge's private bus
	versions string

	vm, daemon, echo, forwarder, relay *process
	bridge                             *process // on bus
	ownBridge                          *process // on ownBus
	idle                               memory   // of bridge, before it was asked anything
	all                                []*process
}

// newStage starts everything but the bridge with a bus of its own. Where it fails, nothing is left.
func newStage(ctx context.Context, o options) (*stage, error) {
	// Not os.TempDir: the path of a socket has to be short.
	dir, err := os.MkdirTemp("/tmp", "qmp-bench")
	if err != nil {
		return nil, err
	}
	s := &stage{options: o, dir: dir, bus: filepath.Join(dir, "bus"), ownBus: filepath.Join(dir, "own", "bus")}
	for _, step := range []func() error{
		s.startQEMU, s.startBus, s.startServices, s.startBridge, func() error { return s.settle(ctx) },
	} {
		if err := step(); err != nil {
			return nil, errors.Join(s.explain(err), s.close())
		}
	}
	return s, nil
}

// close ends all processes, the last one first.
func (s *stage) close() error {
	for _, p := range slices.Backward(s.all) {
		p.stop()
	}
	return os.RemoveAll(s.dir)
}

func (s *stage) start(into **process, ready, program string, args ...string) error {
	p, _, err := startProcess(ready, program, args...)
	if err != nil {
		return err
	}
	*into, s.all = p, append(s.all, p)
	return nil
}

func (s *stage) monitor(i int) string { return filepath.Join(s.dir, fmt.Sprintf("qmp%d", i)) }

// explain adds to an error which process has ended, if one has.
func (s *stage) explain(err error) error {
	for _, p := range s.all {
		err = errors.Join(err, p.ended())
	}
	return err
}
