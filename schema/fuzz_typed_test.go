package schema_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"qmp-dbus-bridge/schema"
	"qmp-dbus-bridge/schema/schematest"
	"qmp-dbus-bridge/schema/wire"
)

// Whatever calls itself a schema is a table of valid methods, or an error.
func FuzzParseTable(f *testing.F) {
	for _, entries := range [][]string{
		nil,
		{command("x-c", "0", "str")},
		{object("1", `{"name":"a","type":"1","default":null},{"name":"b","type":"int"}`, ""), command("block_resize", "1", "1")},
		{object("1", `{"name":"a","type":"e"}`, `,"tag":"a","variants":[{"case":"x","type":"0"}]`), `{"meta-type":"enum","name":"e","values":["x","y"]}`, command("c", "1", "0")},
		{`{"meta-type":"array","name":"[str]","element-type":"str"}`, `{"meta-type":"alternate","name":"a","members":[{"type":"str"},{"type":"[str]"}]}`, `{"meta-type":"event","name":"E","arg-type":"0"}`},
	} {
		f.Add(schemaOf(entries...), []byte(`{"a":"x","b":1}`))
	}
	f.Fuzz(func(t *testing.T, text, value []byte) {
		table, err := schema.ParseTable(text)
		if err != nil {
			return
		}
		methods := schema.Interface{Name: "a.b", Methods: table.Methods()}
		if err := schematest.Check(methods); err != nil {
			t.Errorf("ParseTable(%q): %v", text, err)
		}
		for _, name := range table.Commands() {
			checkCommand(t, table.Command(name), value)
		}
	})
}

// checkCommand gives a command a value as its reply, and that as its arguments.
func checkCommand(t *testing.T, c *schema.Command, value []byte) {
	t.Helper()
	var e wire.Encoder
	e.Reset()
	if _, err := c.EncodeVariant(&e, value); err != nil {
		checkRefusal(t, value, err)
		return
	}
	d := wire.NewDecoder(binary.LittleEndian, "v", e.Bytes(), 0)
	if got, err := c.AppendMembers(nil, &d, nil); err == nil {
		checkCanonical(t, got)
	}
}

// checkCanonical checks that arguments are what QEMU's parser takes.
func checkCanonical(t *testing.T, arguments []byte) {
	t.Helper()
	canonical, err := schema.Canonical(nil, arguments, "cmd")
	if err != nil || !bytes.Equal(canonical, arguments) {
		t.Errorf("%q is canonically %q, %v", arguments, canonical, err)
	}
}

// What a typed call takes is taken again by name, and is the same.
func FuzzTypedArguments(f *testing.F) {
	table := benchTable(f)
	commands := table.Commands()
	for _, in := range []string{
		"screendump h 0", "blockdev-add sa{sv} raw 1 file a{sv} 2 driver s file filename h 0", "netdev_add ssa{sv} n tap 1 fds ah 2 0 0",
		"blockdev-add sa{sv} qcow2 2 file a{sv} 2 filename s /x driver s file backing g ''",
		"block_resize ua{sv} 7 1 node-name s d", "migrate s x", "qom-set ssv / p av 2 d 0.5 a{si} 1 a 1",
		"send-key aa{sv}a{sv} 1 2 type s qcode data s ctrl 0", "device_add a{sv} 2 driver s d zz g ''",
	} {
		words := splitShell(in)
		var e wire.Encoder
		e.Reset()
		encodeList(f, &e, words[1], words[2:])
		f.Add(uint16(slices.Index(commands, words[0])), words[1], bytes.Clone(e.Bytes()))
	}
	f.Fuzz(func(t *testing.T, index uint16, signature string, text []byte) {
		command := table.Command(commands[int(index)%len(commands)])
		d := wire.NewDecoder(binary.LittleEndian, signature, text, 1)
		checkDescriptors(t, command, signature, text)
		got, err := command.AppendArguments(nil, &d, signature, nil)
		if err != nil {
			if !strings.HasPrefix(err.Error(), command.Name()) {
				t.Errorf("%v doesn't begin with the command %s", err, command.Name())
			}
			return
		}
		checkCanonical(t, got)
		byName := body(t, "v", func(e *wire.Encoder) {
			if err := schema.EncodeVariant(e, got); err != nil {
				t.Skip(err) // deeper with its variants
			}
		})
		again, err := command.AppendMembers(nil, byName, nil)
		if err != nil {
			t.Fatalf("%s of %s again: %v", got, command.Name(), err)
		}
		if diff := cmp.Diff(decodeJSON(t, got), decodeJSON(t, again), byFloat); diff != "" {
			t.Errorf("%s of %s (-want +got):\n%s", got, command.Name(), diff)
		}
	})
}

// byFloat compares numbers as doubles, which some of them have been.
var byFloat = cmp.Comparer(func(a, b json.Number) bool {
	x, _ := a.Float64()
	y, _ := b.Float64()
	return x == y
})

// Whatever a reply holds, godbus reads it as it was: typed, or by what it is.
func FuzzTypedReply(f *testing.F) {
	table := mirrorTable(f)
	commands := table.Commands()
	for command, json := range map[string][]byte{
		"query-named-block-nodes": list(1, blockNode),
		"query-cpus-fast":         list(2, cpu),
		"qom-list-properties":     list(2, qomProperty),
		"query-stats":             []byte(`[{"provider":"kvm","stats":[{"name":"a","value":[1]},{"name":"b","value":true}]}]`),
	} {
		f.Add(uint16(slices.Index(commands, "mirror-"+command)), json)
	}
	for i, v := range values {
		f.Add(uint16(i*7), []byte(v))
	}
	f.Fuzz(func(t *testing.T, index uint16, text []byte) {
		if nulKey.Match(text) {
			t.Skip("two keys may become one, and which of them is last is not seen here")
		}
		command := table.Command(commands[int(index)%len(commands)])
		var e wire.Encoder
		e.Begin(&wire.Header{Type: wire.MethodCall, Serial: 1, Path: "/", Member: "M", Signature: "v"})
		if _, err := command.EncodeVariant(&e, text); err != nil {
			checkRefusal(t, text, err)
			return
		}
		variant := checkRead(t, &e, text)
		e.Begin(&wire.Header{Type: wire.MethodCall, Serial: 1, Path: "/", Member: "M", Signature: command.OutSignature()})
		m, err := command.EncodeResult(&e, text)
		switch {
		case errors.Is(err, schema.ErrMisfit) && m.Count > 0:
		case err != nil:
			t.Errorf("EncodeResult(%q) of %s: %v", text, command.Name(), err)
		case command.OutSignature() != "":
			if diff := cmp.Diff(variant, checkRead(t, &e, text), byFloat, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%q of %s as variant and as result:\n%s", text, command.Name(), diff)
			}
		}
	})
}

// checkRead checks what godbus reads of a finished message, and returns it.
func checkRead(t *testing.T, e *wire.Encoder, text []byte) any {
	t.Helper()
	message, err := e.Finish()
	if err != nil {
		t.Fatal(err)
	}
	m, err := dbus.DecodeMessage(bytes.NewReader(message))
	if err != nil {
		t.Fatalf("godbus on %q: %v", text, err)
	}
	got := plain(m.Body[0])
	if diff := cmp.Diff(plain(expected(lenient(text))), got, byFloat, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("godbus on %q (-want +got):\n%s", text, diff)
	}
	return got
}

// checkDescriptors checks that each descriptor in a body is told with the string that stands for it.
func checkDescriptors(t *testing.T, command *schema.Command, signature string, text []byte) {
	t.Helper()
	d := wire.NewDecoder(binary.LittleEndian, signature, text, 1)
	var fds []schema.Descriptor
	got, err := command.AppendArguments([]byte("before"), &d, signature, &fds)
	if err != nil {
		return
	}
	got = got[len("before"):]
	checkCanonical(t, got)
	for _, fd := range fds {
		if fd.Index != 0 || !bytes.HasPrefix(got[fd.Start:], []byte(`""`)) {
			t.Errorf("descriptor %d stands at %d in %s", fd.Index, fd.Start, got)
		}
	}
}
