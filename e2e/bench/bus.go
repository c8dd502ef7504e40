package main

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strconv"

	"qmp-dbus-bridge/schema/wire"
)

const (
	driverName = "org.freedesktop.DBus"
	driverPath = "/org/freedesktop/DBus"
)

// bus is a raw connection to a bus, past Hello.
type bus struct {
	*stream
	serial uint32
}

func dialBus(path string) (*bus, error) {
	s, err := dialStream(path)
	if err != nil {
		return nil, err
	}
	b := &bus{stream: s}
	if err := b.handshake(); err != nil {
		return nil, fmt.Errorf("bus %s: %w", path, joinClose(err, s.fd))
	}
	return b, nil
}

func (b *bus) handshake() error { return b.handshakeWith("") }

// handshakeWith authenticates, with a line in between that the bus answers with one, unless that is empty.
func (b *bus) handshakeWith(line string) error {
	uid := hex.EncodeToString([]byte(strconv.Itoa(os.Getuid())))
	if err := b.write([]byte("\x00AUTH EXTERNAL " + uid + "\r\n")); err != nil {
		return err
	}
	if err := b.more(); err != nil {
		return err
	}
	// The bus says nothing else before BEGIN, and in one write.
	if answer := b.take(b.end - b.start); string(answer[:2]) != "OK" || answer[len(answer)-1] != '\n' {
		return fmt.Errorf("authentication: %q", answer)
	}
	if line != "" {
		if err := b.write([]byte(line)); err != nil {
			return err
		}
		if err := b.more(); err != nil {
			return err
		}
		if answer := b.take(b.end - b.start); string(answer[:5]) != "AGREE" {
			return fmt.Errorf("authentication: %q", answer)
		}
	}
	if err := b.write([]byte("BEGIN\r\n")); err != nil {
		return err
	}
	return b.call(driverCall("Hello", "", nil))
}

// own makes the connection the owner of a name.
func (b *bus) own(name string) error {
	return b.call(driverCall("RequestName", "su", func(e *wire.Encoder) {
		e.String(name)
		e.Uint32(4) // do not queue
	}))
}

// match asks for the signals of an interface.
func (b *bus) match(iface string) error {
	return b.call(driverCall("AddMatch", "s", func(e *wire.Encoder) {
		e.String("type='signal',interface='" + iface + "'")
	}))
}

// matchFrom asks for the signals of an interface that the owner of a name sends.
func (b *bus) matchFrom(name, iface string) error {
	return b.call(driverCall("AddMatch", "s", func(e *wire.Encoder) {
		e.String("type='signal',sender='" + name + "',interface='" + iface + "'")
	}))
}

// send sends a prepared message under the next serial, which it writes into it.
func (b *bus) send(r *request) (serial uint32, err error) {
	if r.err != nil {
		return 0, r.err
	}
	b.number(r)
	return b.serial, b.write(r.wire)
}

// number writes the next serial into a message.
func (b *bus) number(r *request) {
	b.serial++
	binary.LittleEndian.PutUint32(r.wire[offsetSerial:], b.serial)
}

// call makes a call and passes over the reply. Nothing else may be under way, so
// the next reply is that of this call.
func (b *bus) call(r *request) error {
	if _, err := b.send(r); err != nil {
		return err
	}
	_, err := b.reply()
	return err
}

// reply reads up to the next reply; an error that was replied is an error.
func (b *bus) reply() (message, error) {
	for {
		m, err := b.next()
		if err != nil {
			return nil, err
		}
		switch m.kind() {
		case wire.MethodReturn:
			return m, nil
		case wire.Error:
			return m, &refusal{string(m.field(fieldErrorName)), string(m)}
		}
	}
}

// next reads a message, which is valid until the next read.
func (b *bus) next() (message, error) {
	size := wire.FixedHeaderSize
	for known := false; b.end-b.start < size || !known; {
		if b.end-b.start < size {
			if err := b.more(); err != nil {
				return nil, fmt.Errorf("bus: %w", err)
			}
			continue
		}
		var err error
		if size, err = wire.MessageSize(b.buf[b.start:b.end]); err != nil {
			return nil, err
		}
		known = true
	}
	return b.take(size), nil
}

// refusal is an error reply.
type refusal struct{ name, message string }

func (r *refusal) Error() string {
	m, err := wire.ParseMessage([]byte(r.message))
	if err != nil {
		return r.name
	}
	d := m.Decoder()
	return r.name + ": " + d.String()
}

// refused tells whether a call was answered with an error; else the connection is of no use.
func refused(err error) bool {
	var r *refusal
	return errors.As(err, &r)
}
