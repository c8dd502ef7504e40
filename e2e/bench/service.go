package main

import (
	"encoding/binary"
	"errors"
	"fmt"

	"qmp-dbus-bridge/schema/wire"
)

// The roles that this program plays as a process of its own, named by the first argument.
const (
	roleEcho    = "role-echo"    // BUS NAME: answers every call
	roleForward = "role-forward" // BUS NAME MONITOR: answers every call after a query-status
	roleRelay   = "role-relay"   // BUS MONITOR: sends a signal for each event
	roleStart   = "role-start"   // BUS NAME MONITOR: becomes ready as the bridge does
	roleReady   = "ready"        // what they print when they are
)

// The raw services on the bus.
const (
	echoName      = "bench.Echo"
	forwarderName = "bench.Forwarder"
	servicePath   = "/bench"
	serviceFace   = "bench.Service"
	relayFace     = "bench.Relay" // signals for events
	tickFace      = "bench.Ticks" // signals for nothing
)

var errArguments = errors.New("this role is for bench itself")

var roles = map[string]func(args []string) error{
	roleEcho: func(args []string) error {
		if len(args) != 2 {
			return errArguments
		}
		return serve(args[0], args[1], func() error { return nil })
	},
	roleForward: func(args []string) error {
		if len(args) != 3 {
			return errArguments
		}
		m, err := dialMonitor(args[2])
		if err != nil {
			return err
		}
		status := []byte(commandStatus)
		return serve(args[0], args[1], func() error { return m.call(status) })
	},
	roleRelay: func(args []string) error {
		if len(args) != 2 {
			return errArguments
		}
		return relay(args[0], args[1])
	},
	roleStart: func(args []string) error {
		if len(args) != 3 {
			return errArguments
		}
		if err := interview(args[2]); err != nil {
			return err
		}
		return serve(args[0], args[1], func() error { return nil })
	},
}

// interview asks QEMU all that the bridge asks at its start.
func interview(path string) error {
	m, err := dialMonitor(path)
	if err != nil {
		return err
	}
	for _, name := range []string{"query-name", "query-uuid", "query-target", "query-qmp-schema", "query-display-options", "query-status"} {
		if err := m.call(fmt.Appendf(nil, `{"execute":%q}`, name)); err != nil {
			return err
		}
	}
	return nil
}

// serve owns name on the bus and answers every call with an empty reply, after work.
func serve(path, name string, work func() error) error {
	b, err := dialBus(path)
	if err != nil {
		return err
	}
	if err := errors.Join(b.own(name), b.setTimeout(0)); err != nil {
		return err
	}
	fmt.Println(roleReady)
	replies := map[string]*request{}
	for {
		m, err := b.next()
		if err != nil {
			return err
		}
		if m.kind() != wire.MethodCall {
			continue
		}
		serial := m.serial()
		reply, ok := replies[string(m.field(fieldSender))]
		if !ok {
			sender := string(m.field(fieldSender))
			reply = newReply(sender)
			replies[sender] = reply
		}
		if err := work(); err != nil {
			return err
		}
		binary.LittleEndian.PutUint32(reply.wire[offsetReplySerial:], serial)
		if _, err := b.send(reply); err != nil {
			return err
		}
	}
}

// offsetReplySerial is where the encoder puts the serial that a reply is for: it is the first field.
const offsetReplySerial = wire.FixedHeaderSize + 4

// newReply prepares the empty reply to calls of one sender.
func newReply(sender string) *request {
	r := newRequest(wire.Header{
		Type: wire.MethodReturn, Flags: wire.NoReplyExpected, ReplySerial: 1, Destination: sender,
	}, nil)
	if r.err == nil && r.wire[wire.FixedHeaderSize] != fieldReplySerial {
		r.err = errors.New("the reply serial is not where it is expected")
	}
	return r
}
