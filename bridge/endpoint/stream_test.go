package endpoint_test

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"qmp-dbus-bridge/bridge/endpoint"
	"qmp-dbus-bridge/schema/wire"
)

// A message may come in any two pieces, with and without descriptors.
func TestStreamSplit(t *testing.T) {
	_, b := served(t, echo)
	for _, fds := range []int{0, 1} {
		message, _ := b.encode(textCall(caller, "Echo"), text("split"), fds)
		for at := 1; at < len(message); at++ {
			writers, readers := pipes(t, fds)
			b.write(message[:at], writers...)
			time.Sleep(100 * time.Microsecond) // for a read of its own
			b.write(message[at:])
			b.wantReply(b.serial, "split")
			wantClosed(t, readers)
			for _, r := range readers {
				r.Close()
			}
		}
	}
}

// Many messages of all sizes in few reads, the buffer's edges anywhere.
func TestStreamTogether(t *testing.T) {
	for _, step := range []int{1, 7, 100, 4099, 70_001} {
		t.Run(fmt.Sprint(step), func(t *testing.T) {
			_, b := served(t, echo)
			var all strings.Builder
			var want []string
			for size := 0; all.Len() < 300_000; size += step {
				want = append(want, strings.Repeat("x", size))
				message, _ := b.encode(textCall(caller, "Echo"), text(want[len(want)-1]), 0)
				all.WriteString(message)
			}
			first := b.serial - uint32(len(want)) + 1
			b.write(all.String())
			for i := range want {
				b.wantReply(first+uint32(i), want[i])
			}
		})
	}
}

// Each message gets its own descriptors, however they are mixed.
func TestStreamFDs(t *testing.T) {
	got := make(chan int, 100)
	_, b := served(t, handler(func(c *endpoint.Call) endpoint.Verdict {
		fds := c.TakeFDs()
		got <- len(fds)
		closeFDs(fds)
		return endpoint.Accepted
	}))
	want := []int{0, 1, 0, 0, 3, 16, 1, 0, 2}
	for _, n := range want {
		writers, _ := pipes(t, n)
		b.send(textCall(caller, "Take"), text(strings.Repeat("x", 10_000)), writers...)
	}
	for i, n := range want {
		if m := receive(t, got); m != n {
			t.Errorf("call %d has %d descriptors, want %d", i, m, n)
		}
	}
}

// bigEndianCall is a call with a string from a machine of the other kind.
func bigEndianCall(serial uint32, value string) string {
	var fields []byte
	field := func(code byte, kind, value string) {
		for len(fields)%8 != 0 {
			fields = append(fields, 0)
		}
		fields = append(fields, code, 1, kind[0], 0)
		if kind == "g" {
			fields = append(fields, byte(len(value)))
		} else {
			fields = binary.BigEndian.AppendUint32(fields, uint32(len(value)))
		}
		fields = append(append(fields, value...), 0)
	}
	field(1, "o", "/org/example")
	field(3, "s", "Echo")
	field(7, "s", caller)
	field(8, "g", "s")
	m := []byte{'B', 1, 0, 1}
	m = binary.BigEndian.AppendUint32(m, uint32(4+len(value)+1))
	m = binary.BigEndian.AppendUint32(m, serial)
	m = binary.BigEndian.AppendUint32(m, uint32(len(fields)))
	m = append(m, fields...)
	for len(m)%8 != 0 {
		m = append(m, 0)
	}
	m = binary.BigEndian.AppendUint32(m, uint32(len(value)))
	return string(m) + value + "\x00"
}

func TestStreamBigEndian(t *testing.T) {
	_, b := served(t, echo)
	b.write(bigEndianCall(77, "big"))
	b.wantReply(77, "big")
	b.write(bigEndianCall(78, strings.Repeat("x", endpoint.MaxMessage)))
	b.wantError(78, limitsExceeded)
	b.write(bigEndianCall(79, "more"))
	b.wantReply(79, "more")
}

// A message that can't be read does not end the connection.
func TestStreamMalformed(t *testing.T) {
	_, b := served(t, echo)
	message, _ := b.encode(textCall(caller, "Echo"), text("x"), 0)
	large, _ := b.encode(textCall(caller, "Echo"), text(strings.Repeat("x", endpoint.MaxMessage)), 0)
	bad := []string{
		strings.Replace(message, "/org/example", "/org//xample", 1),
		strings.Replace(message, "Echo", "E.ho", 1),
		strings.Replace(large, "Echo", "E.ho", 1),
		message[:8] + "\x00\x00\x00\x00" + message[12:], // serial 0
		"l\x00" + message[2:],                           // type 0
		"l\x07" + message[2:],                           // no error: an unknown type
	}
	for _, m := range bad {
		b.write(m)
		b.wantReply(b.send(textCall(caller, "Echo"), text("more")), "more")
	}
}

// Where descriptors can't be told apart, the connection ends and all are closed.
func TestStreamWrongFDs(t *testing.T) {
	h := textCall(caller, "Echo")
	tests := []struct {
		name             string
		announced, bring int
		spoil            string // a piece of the message to replace
	}{
		{"too few", 2, 1, ""},
		{"none", 1, 0, ""},
		{"too many", 1, 2, ""},
		{"unannounced", 0, 1, ""},
		{"malformed", 1, 1, "Echo"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, b := newConn(t)
			ended := serve(t, c, echo)
			message, _ := b.encode(h, text("x"), tt.announced)
			if tt.spoil != "" {
				message = strings.Replace(message, tt.spoil, strings.Repeat(".", len(tt.spoil)), 1)
			}
			writers, readers := pipes(t, tt.bring)
			b.write(message, writers...)
			if err := receive(t, ended); err == nil || !strings.Contains(err.Error(), "file descriptors") {
				t.Errorf("Serve = %v, want an error about the file descriptors", err)
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			wantClosed(t, readers)
		})
	}
}

// A caller that left room for padding and flags that nobody knows is served.
func TestStreamUnknownFlags(t *testing.T) {
	_, b := served(t, echo)
	message, serial := b.encode(textCall(caller, "Echo"), text("x"), 0)
	b.write(message[:2] + string(rune(0x70|byte(wire.NoAutoStart))) + message[3:])
	b.wantReply(serial, "x")
}
