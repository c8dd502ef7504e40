package schema_test

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"qmp-dbus-bridge/schema"
	"qmp-dbus-bridge/schema/wire"
)

// Descriptors in the place of strings, and where they are none.
func TestDescriptors(t *testing.T) {
	table := benchTable(t)
	for _, test := range []struct {
		in, want string
		fds      []schema.Descriptor
	}{
		{"screendump h 1", `{"filename":""}`, []schema.Descriptor{{12, 1}}},
		{"screendump ha{sv} 1 1 device v s x", `{"filename":"","device":"x"}`, []schema.Descriptor{{12, 1}}},
		{"screendump a{sv} 1 filename v h 0", `{"filename":""}`, []schema.Descriptor{{12, 0}}},
		{"add_client sh vnc 0", `{"protocol":"vnc","fdname":""}`, []schema.Descriptor{{27, 0}}},
		{"device_add sa{sv} x 1 vhostfd h 1", `{"driver":"x","vhostfd":""}`, []schema.Descriptor{{24, 1}}},
		{"netdev_add ssa{sv} n tap 1 fds ah 2 1 0", `{"id":"n","type":"tap","fds":""}`, []schema.Descriptor{{29, 1}, {29, 0}}},
		{"netdev_add ssa{sv} n tap 1 fds ah 0", "", nil},
		{"netdev_add ssa{sv} n tap 1 queues h 0", "", nil},
		{"netdev_add sha{sv} n 0 0", "", nil}, // the type of a union
		{"screendump h 7", "", nil},           // there are 2
	} {
		words := splitShell(test.in)
		command := table.Command(words[0])
		var e wire.Encoder
		e.Reset()
		encodeList(t, &e, words[1], words[2:])
		text := bytes.Clone(e.Bytes())
		d := wire.NewDecoder(binary.LittleEndian, words[1], text, 2)
		var fds []schema.Descriptor
		got, err := command.AppendArguments(nil, &d, words[1], &fds)
		if (err != nil) != (test.want == "") || err == nil && string(got) != test.want {
			t.Errorf("%s: %s, %v, want %s", test.in, got, err, test.want)
		}
		if diff := cmp.Diff(test.fds, fds); diff != "" && err == nil {
			t.Errorf("%s: descriptors (-want +got):\n%s", test.in, diff)
		}
		d = wire.NewDecoder(binary.LittleEndian, words[1], text, 2)
		if _, err := command.AppendArguments(nil, &d, words[1], nil); err == nil || test.want != "" && !strings.Contains(err.Error(), "file descriptor") && !strings.Contains(err.Error(), "array") {
			t.Errorf("%s where none is taken: %v", test.in, err)
		}
	}
}
