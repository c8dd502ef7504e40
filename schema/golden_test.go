package schema_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"qmp-dbus-bridge/schema"
	"qmp-dbus-bridge/schema/wire"
)

// unit is one vector of testdata/golden/units.jsonl.
type unit struct {
	Kind, Schema string
	In, Out      json.RawMessage
	Note         string
}

// readLines reads a file of one JSON value a line.
func readLines[T any](t *testing.T, path string) []T {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var lines []T
	scanner := bufio.NewScanner(f)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		lines = append(lines, unmarshal[T](t, scanner.Bytes()))
	}
	if err := scanner.Err(); err != nil {
		t.Fatal(err)
	}
	return lines
}

func readUnits(t *testing.T) []unit {
	t.Helper()
	return readLines[unit](t, "testdata/golden/units.jsonl")
}

func TestUnitsEncode(t *testing.T) {
	for _, u := range readUnits(t) {
		if u.Kind != "json2dbus" {
			continue
		}
		in := unmarshal[string](t, u.In)
		command := tableOf(t, "cmd", "object{}", unitType(u)).Command("cmd")
		d := body(t, "v", func(e *wire.Encoder) {
			if m, err := command.EncodeVariant(e, []byte(in)); err != nil || m.Count > 0 {
				t.Errorf("EncodeVariant(%s): %v, %v", in, m, err)
			}
		})
		if diff := cmp.Diff(unmarshal[any](t, u.Out), decodeTyped(d)); diff != "" {
			t.Errorf("EncodeVariant(%s) (-want +got):\n%s", in, diff)
		}
	}
}

func TestUnitsAppend(t *testing.T) {
	for _, u := range readUnits(t) {
		if u.Kind != "dbus2json" {
			continue
		}
		in := unmarshal[typed](t, u.In)
		command := tableOf(t, "cmd", "object{value:"+unitType(u)+"}", "any").Command("cmd")
		d := body(t, in.Type, func(e *wire.Encoder) { encodeTyped(t, e, in.Type, in.Data) })
		got, err := command.AppendArguments(nil, d, in.Type, nil)
		if strings.HasPrefix(string(u.Out), "{") {
			if _, ok := errors.AsType[*schema.ArgumentError](err); !ok {
				t.Errorf("%s of %s = %s, %v, want an ArgumentError", u.Schema, u.In, got, err)
			}
		} else if want := `{"value":` + unmarshal[string](t, u.Out) + "}"; string(got) != want || err != nil {
			t.Errorf("%s of %s = %s, %v, want %s", u.Schema, u.In, got, err, want)
		}
	}
}

// unitType is a unit's type as [builder] reads it.
func unitType(u unit) string {
	return strings.ReplaceAll(u.Schema, "[object]", "[object{}]")
}

func TestUnitsNames(t *testing.T) {
	functions := map[string]func(string) string{
		"command": schema.MethodName, "event": schema.SignalName, "arg": schema.ArgName,
	}
	for _, u := range readUnits(t) {
		if u.Kind != "name" {
			continue
		}
		in, want := unmarshal[string](t, u.In), unmarshal[string](t, u.Out)
		if got := functions[u.Schema](in); got != want {
			t.Errorf("%s name of %s = %s, want %s", u.Schema, in, got, want)
		}
	}
}
