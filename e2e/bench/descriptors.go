package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/e2e/bench/figure"
	"qmp-dbus-bridge/schema/wire"
)

// descriptors measures what it costs to give QEMU a descriptor in place of a file's name: an object is added by the one and by the
// other, and deleted.
type descriptors struct {
	*interleave
	stage *stage
	bus   *bus
	file  *os.File
}

func newDescriptors(s *stage) (*descriptors, error) {
	b, err := dialBusWithFDs(s.bus)
	if err != nil {
		return nil, err
	}
	file, err := os.Open(randomFile)
	if err != nil {
		return nil, err
	}
	d := &descriptors{stage: s, bus: b, file: file}
	byName, byFD := d.pairs(bridgeName)
	row := &figure.Row{Name: "object-add and object-del, a file by its name"}
	d.interleave = &interleave{slices: 10, calls: 50, contenders: []contender{
		{row, s.bridge, byName},
		{&figure.Row{Name: "object-add and object-del, a file by a descriptor", Base: row}, s.bridge, byFD},
	}}
	return d, nil
}

// pairs makes the functions that add and delete an object of the bridge of that name once.
func (d *descriptors) pairs(bridge string) (byName, byFD func() error) {
	add := over(d.bus, objectAdd(bridge, 0, func(e *wire.Encoder) {
		e.OpenVariant("s")
		e.String(randomFile)
		e.CloseVariant()
	}))
	withFD := objectAdd(bridge, 1, func(e *wire.Encoder) {
		e.OpenVariant("h")
		e.UnixFD(0)
		e.CloseVariant()
	})
	del := over(d.bus, objectDel(bridge))
	return inTurn(add, del), inTurn(func() error { return d.bus.callWithFD(withFD, int(d.file.Fd())) }, del)
}

// inTurn makes one call of several; it ends with the first that fails.
func inTurn(calls ...func() error) func() error {
	return func() error {
		for _, call := range calls {
			if err := call(); err != nil {
				return err
			}
		}
		return nil
	}
}

const (
	countedPairs    = 100 // of each kind
	moreForAFile    = 2   // commands: add-fd and remove-fd
	tracedName      = "bench.Traced"
	countedCommands = "QMP commands for object-add and object-del, a file by "
)

// values tells how many QMP commands a pair costs, as QEMU counts them.
func (d *descriptors) values() ([]figure.Value, error) {
	t, err := startTraced(d.stage, tracedName)
	if err != nil {
		return nil, err
	}
	byName, byFD := d.pairs(tracedName)
	mark := over(d.bus, newCall(tracedName, qmpPath, qmpFace, "QueryStatus", "", nil))
	plain, err := t.commands(countedPairs, byName, mark)
	if err != nil {
		return nil, err
	}
	passed, err := t.commands(countedPairs, byFD, mark)
	const unit = "a pair"
	return []figure.Value{
		{Name: countedCommands + "its name", Reached: plain, Unit: unit},
		{Name: countedCommands + "a descriptor", Reached: passed, Unit: unit},
		{Name: "of them for the descriptor", Reached: passed - plain, Unit: unit, Goal: &figure.Goal{AtMost: moreForAFile}},
	}, err
}

const (
	randomFile = "/dev/urandom"
	randomID   = "bench-random"
)

// objectAdd calls a bridge's object-add for a source of random numbers with so many descriptors; filename writes the variant that is its
// file.
func objectAdd(bridge string, fds uint32, filename func(*wire.Encoder)) *request {
	return newRequest(wire.Header{
		Type: wire.MethodCall, Destination: bridge, Path: qmpPath, Interface: qmpFace, Member: "ObjectAdd", Signature: "ssa{sv}", UnixFDs: fds,
	}, func(e *wire.Encoder) {
		e.String("rng-random")
		e.String(randomID)
		e.OpenArray("{sv}")
		e.OpenDictEntry()
		e.String("filename")
		filename(e)
		e.CloseDictEntry()
		e.CloseArray()
	})
}

func objectDel(bridge string) *request {
	return newCall(bridge, qmpPath, qmpFace, "ObjectDel", "s", func(e *wire.Encoder) { e.String(randomID) })
}

// dialBusWithFDs is dialBus for a connection that can pass descriptors.
func dialBusWithFDs(path string) (*bus, error) {
	s, err := dialStream(path)
	if err != nil {
		return nil, err
	}
	b := &bus{stream: s}
	if err := b.handshakeWith("NEGOTIATE_UNIX_FD\r\n"); err != nil {
		return nil, fmt.Errorf("bus %s: %w", path, joinClose(err, s.fd))
	}
	return b, nil
}

// callWithFD is call with a descriptor, which stays the caller's.
func (b *bus) callWithFD(r *request, fd int) error {
	if r.err != nil {
		return r.err
	}
	b.number(r)
	if err := unix.Sendmsg(b.fd, r.wire, unix.UnixRights(fd), nil, 0); err != nil { // a small message goes whole
		return os.NewSyscallError("sendmsg", err)
	}
	_, err := b.reply()
	return err
}
