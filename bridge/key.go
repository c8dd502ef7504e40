package bridge

import (
	"encoding/binary"

	"qmp-dbus-bridge/schema"
	"qmp-dbus-bridge/schema/wire"
)

// What can be pressed at once, and for how long. QEMU takes any number, but a PS/2 keyboard forgets what goes over 16 bytes, of which
// each key takes one or two (PS2_QUEUE_SIZE in QEMU's hw/input/ps2.c). While a key is held, others wait; one that is held for
// good would take the keyboard from everybody.
const (
	maxKeys = 16
	maxHold = 60_000 // ms
)

// sendKeyMethod presses keys, all at once, and releases them in the other order.
func sendKeyMethod() method {
	in := []schema.Arg{{Name: "qcodes", Type: "as"}, {Name: "hold_ms", Type: "u"}}
	return argumentMethod("SendKey", in, writeKeys, atOnce)
}

// writeKeys makes the arguments that a caller of the command's own method would send, and has them checked as those are: a
// key that this QEMU does not have is told with its place.
func writeKeys(r *request) ([]byte, error) {
	var e wire.Encoder
	if err := encodeKeys(&e, r.Decoder()); err != nil {
		return nil, err
	}
	d := wire.NewDecoder(binary.LittleEndian, "a{sv}", e.Bytes(), 0)
	return r.plan.AppendMembers(nil, &d, nil)
}

// encodeKeys writes what is read as (as qcodes, u hold_ms) as the command's members.
func encodeKeys(e *wire.Encoder, d wire.Decoder) error {
	e.OpenArray("{sv}")
	e.OpenDictEntry()
	e.String("keys")
	e.OpenVariant("aa{ss}")
	e.OpenArray("a{ss}")
	keys := 0
	for d.Enter(); d.More() && keys <= maxKeys; keys++ {
		e.OpenArray("{ss}")
		encodeEntry(e, "type", "qcode")
		encodeEntry(e, "data", d.String())
		e.CloseArray()
	}
	d.Exit()
	e.CloseArray()
	e.CloseVariant()
	e.CloseDictEntry()
	hold := d.Uint32()
	if hold != 0 { // else as long as QEMU likes
		e.OpenDictEntry()
		e.String("hold-time")
		e.OpenVariant("u")
		e.Uint32(hold)
		e.CloseVariant()
		e.CloseDictEntry()
	}
	e.CloseArray()
	switch err := d.Err(); {
	case err != nil:
		return failuref(errInvalidArgs, "%v", err)
	case keys == 0:
		return failuref(errInvalidArgs, "qcodes: no keys")
	case keys > maxKeys:
		return failuref(errLimits, "qcodes: more than %d keys", maxKeys)
	case hold > maxHold:
		return failuref(errLimits, "hold_ms: %d; %d is the most", hold, maxHold)
	}
	return e.Err()
}

func encodeEntry(e *wire.Encoder, key, value string) {
	e.OpenDictEntry()
	e.String(key)
	e.String(value)
	e.CloseDictEntry()
}
