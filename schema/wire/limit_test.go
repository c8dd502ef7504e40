package wire_test

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"qmp-dbus-bridge/schema/wire"
)

// within gives a body in which inner, a variant's signature and value, is in that
// many variants.
func within(variants int, inner string) string {
	return strings.Repeat("\x01v\x00", variants-1) + inner
}

func TestDecoderDepth(t *testing.T) {
	const most = wire.MaxDepth
	tests := []struct {
		name, body string
		limit      bool
	}{
		{"variants", within(most, "\x01y\x00\x07"), false},
		{"one more variant", within(most+1, "\x01y\x00\x07"), true},
		{"an array", within(most-1, "\x02ay\x00\x00\x00\x00\x00\x00\x00"), false},
		{"one more array", within(most, "\x02ay\x00\x00\x00\x00\x00"), true},
		{"a struct", within(most-1, "\x03(y)\x00\x00\x07"), false},
		{"one more struct", within(most, "\x03(y)\x00\x00\x07"), true},
	}
	for _, test := range tests {
		d := wire.NewDecoder(binary.LittleEndian, "v", []byte(test.body), 0)
		if err := d.End(); errors.Is(err, wire.ErrLimit) != test.limit || (err != nil) != test.limit {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

func TestBytesCountsItsArray(t *testing.T) {
	for _, depth := range []int{wire.MaxDepth - 1, wire.MaxDepth} {
		body := within(depth, "\x02ay\x00")
		for len(body)%4 != 0 {
			body += "\x00"
		}
		d := wire.NewDecoder(binary.LittleEndian, "v", []byte(body+"\x00\x00\x00\x00"), 0)
		for range depth {
			d.Enter()
		}
		_ = d.Bytes()
		if over := depth == wire.MaxDepth; errors.Is(d.End(), wire.ErrLimit) != over {
			t.Errorf("array in %d variants: %v", depth, d.Err())
		}
	}
}

func TestEncoderDepth(t *testing.T) {
	kinds := []struct {
		name string
		open func(e *wire.Encoder)
	}{
		{"variant", func(e *wire.Encoder) { e.OpenVariant("y") }},
		{"array", func(e *wire.Encoder) { e.OpenArray("y") }},
		{"struct", func(e *wire.Encoder) { e.OpenStruct() }},
	}
	for _, kind := range kinds {
		for _, depth := range []int{wire.MaxSendDepth, wire.MaxSendDepth + 1} {
			var e wire.Encoder
			for range depth - 1 {
				e.OpenStruct()
			}
			kind.open(&e)
			if over := depth > wire.MaxSendDepth; errors.Is(e.Err(), wire.ErrLimit) != over {
				t.Errorf("%s as container %d: %v", kind.name, depth, e.Err())
			}
		}
	}
}

func TestEncoderDepthOfDictionaries(t *testing.T) {
	const each = 3 // array, dict entry, variant
	for _, n := range []int{wire.MaxSendDepth / each, wire.MaxSendDepth/each + 1} {
		var e wire.Encoder
		for range n {
			e.OpenArray("{sv}")
			e.OpenDictEntry()
			e.String("file")
			e.OpenVariant("a{sv}")
		}
		if over := n*each > wire.MaxSendDepth; errors.Is(e.Err(), wire.ErrLimit) != over {
			t.Errorf("%d dictionaries in each other: %v", n, e.Err())
		}
	}
}

func TestDecoderArraySize(t *testing.T) {
	for _, size := range []uint32{wire.MaxArray, wire.MaxArray + 1, 1<<32 - 1} {
		d := wire.NewDecoder(binary.LittleEndian, "ay", binary.LittleEndian.AppendUint32(nil, size), 0)
		err := d.End()
		if over := size > wire.MaxArray; err == nil || errors.Is(err, wire.ErrLimit) != over {
			t.Errorf("array of %d bytes: %v", size, err)
		}
	}
}

func TestEncoderSizes(t *testing.T) {
	if testing.Short() {
		t.Skip("needs some hundred MiB of memory")
	}
	const textOverhead = 4 + 1 // size and NUL
	array := func(e *wire.Encoder, size int) {
		e.OpenArray("s")
		e.String(strings.Repeat("x", size-textOverhead))
		e.CloseArray()
	}
	message := func(e *wire.Encoder, size int) {
		e.String(strings.Repeat("x", size-textOverhead))
	}
	tests := []struct {
		name  string
		write func(e *wire.Encoder, size int)
		most  int
	}{
		{"array", array, wire.MaxArray},
		{"message", message, wire.MaxMessage},
	}
	var e wire.Encoder
	for _, test := range tests {
		for _, size := range []int{test.most, test.most + 1} {
			e.Reset()
			test.write(&e, size)
			_, err := e.Finish()
			if over := size > test.most; errors.Is(err, wire.ErrLimit) != over || (err != nil) != over {
				t.Errorf("%s of %d bytes: %v", test.name, size, err)
			}
		}
	}
}
