package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/e2e/bench/figure"
	"qmp-dbus-bridge/schema/wire"
)

// newDescriptors measures what it costs to give QEMU a descriptor in place of a file's name: an object is added by the one and by the other, and
// deleted. With a descriptor QEMU gets two commands more, add-fd and remove-fd.
func newDescriptors(s *stage) (part, error) {
	b, err := dialBusWithFDs(s.bus)
	if err != nil {
		return nil, err
	}
	file, err := os.Open(randomFile)
	if err != nil {
		return nil, err
	}
	both := func(add func() error) func() error {
		del := over(b, objectDel())
		return func() error {
			if err := add(); err != nil {
				return err
			}
			return del()
		}
	}
	withFD := objectAdd(1, func(e *wire.Encoder) {
		e.OpenVariant("h")
		e.UnixFD(0)
		e.CloseVariant()
	})
	byName := &figure.Row{Name: "object-add and object-del, a file by its name"}
	return &interleave{slices: 10, calls: 50, contenders: []contender{
		{byName, s.bridge, both(over(b, objectAdd(0, func(e *wire.Encoder) {
			e.OpenVariant("s")
			e.String(randomFile)
			e.CloseVariant()
		})))},
		{
			&figure.Row{Name: "object-add and object-del, a file by a descriptor", Base: byName}, s.bridge,
			both(func() error { return b.callWithFD(withFD, int(file.Fd())) }),
		},
	}}, nil
}

const (
	randomFile = "/dev/urandom"
	randomID   = "bench-random"
)

// objectAdd calls object-add for a source of random numbers with so many descriptors; filename writes the variant that is its file.
func objectAdd(fds uint32, filename func(*wire.Encoder)) *request {
	return newRequest(wire.Header{
		Type: wire.MethodCall, Destination: bridgeName, Path: qmpPath, Interface: qmpFace, Member: "ObjectAdd", Signature: "ssa{sv}", UnixFDs: fds,
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

func objectDel() *request {
	return newCall(bridgeName, qmpPath, qmpFace, "ObjectDel", "s", func(e *wire.Encoder) { e.String(randomID) })
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
