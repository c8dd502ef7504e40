package bridge

import (
	"encoding/base64"
	"encoding/json"
	"fmt"

	"qmp-dbus-bridge/qmp"
	"qmp-dbus-bridge/schema"
	"qmp-dbus-bridge/schema/wire"
)

// maxRing bounds what one ReadRing takes out of a ring buffer, in bytes: QEMU's are of 64 KiB unless they are made larger,
// and what it has read it has no more, so the answer has to fit into a message.
const maxRing = 1 << 20

// chardevMethods are those of org.qemu.VM1.Chardev.
func chardevMethods() []method {
	readRing := objectMethod("Chardev.ReadRing", []schema.Arg{{Name: "size", Type: "t"}}, ownRing)
	parse := readRing.parse
	readRing.parse = func(r *request) error {
		if err := parse(r); err != nil {
			return err
		}
		d := r.Decoder()
		if size := d.Uint64(); size > maxRing {
			return failuref(errLimits, "ringbuf-read.size: %d bytes; %d is the most, so read in parts", size, maxRing)
		}
		return nil
	}
	return []method{answering(readRing, schema.Arg{Name: "data", Type: "ay"}, getRing)}
}

// ownRing names the character device, and has its bytes come as they are.
func ownRing(o *object) []schema.Own {
	return []schema.Own{{Name: "device", Value: o.id}, {Name: "format", Value: "base64"}}
}

// getRing answers with what QEMU took out of the ring buffer.
func getRing(r *request) {
	r.forward(func(reply qmp.Reply) {
		r.reply("ay", func(e *wire.Encoder) error {
			data, err := decodeRing(reply.Return)
			e.OpenArray("y")
			for _, b := range data {
				e.Byte(b)
			}
			e.CloseArray()
			return err
		})
	})
}

// decodeRing reads a reply to ringbuf-read.
func decodeRing(reply []byte) ([]byte, error) {
	var text string
	if err := json.Unmarshal(reply, &text); err != nil {
		return nil, fmt.Errorf("it is no string: %w", err)
	}
	return base64.StdEncoding.DecodeString(text)
}
