package e2e_test

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"

	"qmp-dbus-bridge/e2e/rig"
)

// oddity is what a viewer puts into every place of a command's arguments.
type oddity struct {
	text   string
	number int64
	length int  // of lists
	full   bool // with the optional members
}

// oddities include types that some QEMU can't make without ending; one has a place of its own for a CPU.
var oddities = []oddity{
	{text: ""},
	{text: strings.Repeat("x", 1000), number: -1, length: 1},
	{text: "/machine", number: math.MaxInt64, length: 100},
	{text: "*", number: 1, length: 1},
	{text: "qemu64", number: 2, length: 1},
	{text: "microvm-machine", length: 1},
	{text: "x-remote-object", length: 1},
	{text: "qio-net-listener", length: 1},
	{text: "colo-compare", length: 1},
	{text: "virtio-gpu-gl-pci", length: 1},
	{text: "virtio-vga-gl", length: 1},
}

// newCPU are properties of a CPU model that plug in the second CPU of the machine.
var newCPU = map[string]any{"socket-id": 0, "die-id": 0, "core-id": 1, "thread-id": 0, "realized": true}

// TestAttackReads has a viewer run each command of class read, without arguments and with odd ones: QEMU goes on, and has
// the CPUs that it had.
func TestAttackReads(t *testing.T) {
	rig.RequireRoot(t)
	vm := rig.StartQEMU(t, rig.QEMU{Args: []string{"-smp", "1,sockets=1,cores=2,maxcpus=2"}})
	s := &siege{t: t, bridge: serveQEMU(t, vm, grants...), vm: vm}
	s.witness = rig.Root.MustDial(t, s.address)
	schema, commands := s.schema(), s.classes()
	conn := viewer.MustDial(t, s.address)
	for _, name := range slices.Sorted(maps.Keys(commands)) {
		if commands[name].class != "read" {
			continue
		}
		for _, arguments := range schema.arguments(t, name) {
			err := conn.Object(busName, qmpPath).Call(qmpIf+".CallJson", 0, name, arguments).Err
			switch errorName(err) {
			case "org.qemu.VM1.Error.Disconnected":
				t.Fatalf("%s %.300s: QEMU has gone\n%s", name, arguments, vm.Output())
			case dbusError + "AccessDenied":
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	cpus, err := qmp(s.witness, "query-cpus-fast", nil)
	if list, ok := cpus.([]map[string]dbus.Variant); !ok || len(list) != 1 {
		t.Errorf("query-cpus-fast = %v, %v, want one CPU", cpus, err)
	}
}

// entity is one of QEMU's query-qmp-schema.
type entity struct {
	Name    string
	Meta    string   `json:"meta-type"`
	JSON    string   `json:"json-type"`
	Arg     string   `json:"arg-type"`
	Element string   `json:"element-type"`
	Values  []string `json:"values"`
	Tag     string
	Members []struct {
		Name, Type string
		Default    json.RawMessage // only optional ones have it
	}
	Cases []struct{ Case, Type string } `json:"variants"`
}

// entities are QEMU's schema, by name; a type and a command may have the same one.
type entities struct{ commands, types map[string]entity }

func (s *siege) schema() entities {
	s.t.Helper()
	var text string
	if err := s.witness.Object(busName, qmpPath).Call(qmpIf+".CallJson", 0, "query-qmp-schema", "").Store(&text); err != nil {
		s.t.Fatal(err)
	}
	var list []entity
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		s.t.Fatal(err)
	}
	all := entities{map[string]entity{}, map[string]entity{}}
	for _, e := range list {
		if e.Meta == "command" {
			all.commands[e.Name] = e
		} else {
			all.types[e.Name] = e
		}
	}
	return all
}

// arguments are some for the command: none, and each oddity in all places, without and with the optional ones.
func (s entities) arguments(t *testing.T, command string) []string {
	t.Helper()
	texts := []string{""}
	for _, odd := range oddities {
		for _, odd.full = range []bool{false, true} {
			text, err := json.Marshal(s.value(s.commands[command].Arg, odd, 8))
			if err != nil {
				t.Fatal(err)
			}
			texts = append(texts, string(text))
		}
	}
	slices.Sort(texts)
	return slices.Compact(texts)
}

// value is one of a type with the oddity in all places, and null below a depth.
func (s entities) value(name string, odd oddity, depth int) any {
	e := s.types[name]
	if depth == 0 {
		return nil
	}
	switch e.Meta {
	case "builtin":
		switch e.JSON {
		case "string":
			return odd.text
		case "boolean":
			return odd.number > 0
		case "int", "number":
			return odd.number
		}
		return newCPU
	case "enum":
		return odd.of(e.Values)
	case "array":
		list := make([]any, odd.length)
		for i := range list {
			list[i] = s.value(e.Element, odd, depth-1)
		}
		return list
	case "alternate":
		return s.value(e.Members[0].Type, odd, depth-1)
	}
	object := map[string]any{}
	for _, member := range e.Members {
		if member.Default != nil && !odd.full {
			continue
		}
		object[member.Name] = s.value(member.Type, odd, depth-1)
	}
	for _, c := range e.Cases {
		if object[e.Tag] == c.Case {
			maps.Copy(object, s.value(c.Type, odd, depth-1).(map[string]any))
		}
	}
	return object
}

// of is the value of an enumeration that the oddity chooses.
func (o oddity) of(values []string) string {
	return values[uint64(o.number)%uint64(len(values))]
}
