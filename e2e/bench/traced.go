package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
)

// traced is a machine that writes down each QMP command that it gets from a bridge of its own. It is for counting: writing takes time.
type traced struct {
	vm, bridge *process
	log        string
}

// startTraced starts a machine and its bridge, which has that name on the bus.
func startTraced(s *stage, name string) (*traced, error) {
	t := &traced{log: filepath.Join(s.dir, "commands")}
	if _, err := s.startMachine(&t.vm, tracedBridge, tracedEnd, "-d", "trace:"+commandTraced, "-D", t.log); err != nil {
		return nil, err
	}
	return t, s.start(&t.bridge, bridgeReady, s.options.bridge, s.bridgeArgs(tracedBridge, "--bus", "unix:path="+s.bus, "--bus-name", name)...)
}

// commandTraced is what QEMU calls the event that it has got a QMP command (monitor/trace-events; 5.2.0, 7.2.22 and 10.0.2 have it).
const commandTraced = "handle_qmp_command"

// commands tells how many commands one call makes the bridge give QEMU, from so many calls. The mark is a call of one command: QEMU
// is told it behind all that the others have led to, and has written those down when it answers.
func (t *traced) commands(calls int, call, mark func() error) (each float64, err error) {
	before, err := t.seen()
	if err != nil {
		return 0, err
	}
	for range calls {
		if err := call(); err != nil {
			return 0, err
		}
	}
	if err := mark(); err != nil {
		return 0, err
	}
	after, err := t.seen()
	if err == nil && after == before {
		err = fmt.Errorf("QEMU has not written down a command in %s", t.log)
	}
	return float64(after-1-before) / float64(calls), err
}

// seen is how many commands QEMU has got so far.
func (t *traced) seen() (int, error) {
	text, err := os.ReadFile(t.log)
	return bytes.Count(text, []byte(commandTraced)), err
}
