package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"runtime"

	"qmp-dbus-bridge/schema/wire"
)

// newMirror starts a service within this process that answers every call of b, after work, with
// the very message that the bridge answers to call, so that what the bus takes for it can be told
// apart. It returns the call to make. The service ends with the process.
func newMirror(path string, b *bus, call *request, name string, work func() error) (*request, error) {
	if _, err := b.send(call); err != nil {
		return nil, err
	}
	m, err := b.reply()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	reply := message(bytes.Clone(m))
	own, err := dialBus(path)
	if err != nil {
		return nil, err
	}
	if err := own.own(name); err != nil {
		return nil, err
	}
	if err := own.setTimeout(0); err != nil {
		return nil, err
	}
	go mirror(own, reply, work)
	return rawCall(name), nil
}

// mirror answers until the bus goes or work fails. The bus writes the sender anew, and the caller
// stays the same.
func mirror(b *bus, reply message, work func() error) {
	runtime.LockOSThread()
	r := &request{wire: reply}
	for {
		m, err := b.next()
		if err != nil {
			return
		}
		if m.kind() != wire.MethodCall {
			continue
		}
		serial := m.serial()
		if err := work(); err != nil {
			return
		}
		binary.LittleEndian.PutUint32(reply.field(fieldReplySerial), serial)
		if _, err := b.send(r); err != nil {
			return
		}
	}
}
