package schema_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"slices"
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
		if u.Kind != "json2dbus" || u.Schema != "any" {
			continue
		}
		in := unmarshal[string](t, u.In)
		d := body(t, "v", func(e *wire.Encoder) {
			if err := schema.EncodeVariant(e, []byte(in)); err != nil {
				t.Errorf("EncodeVariant(%s): %v", in, err)
			}
		})
		if diff := cmp.Diff(unmarshal[any](t, u.Out), decodeTyped(d)); diff != "" {
			t.Errorf("EncodeVariant(%s) (-want +got):\n%s", in, diff)
		}
	}
}

func TestUnitsAppend(t *testing.T) {
	for _, u := range readUnits(t) {
		if u.Kind != "dbus2json" || u.Schema != "any" {
			continue
		}
		in := unmarshal[typed](t, u.In)
		d := body(t, in.Type, func(e *wire.Encoder) { encodeTyped(t, e, in.Type, in.Data) })
		got, err := schema.AppendValue(nil, d, "cmd")
		if strings.HasPrefix(string(u.Out), "{") {
			if _, ok := errors.AsType[*schema.ArgumentError](err); !ok {
				t.Errorf("AppendValue(%s) = %s, %v, want an ArgumentError", u.In, got, err)
			}
		} else if want := unmarshal[string](t, u.Out); string(got) != want || err != nil {
			t.Errorf("AppendValue(%s) = %s, %v, want %s", u.In, got, err, want)
		}
	}
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

// call is one recorded call of testdata/golden/recorded.jsonl.
type call struct {
	ID            string
	CallSignature string                             `json:"call_signature"`
	Busctl        string                             `json:"busctl"`
	Request       struct{ Arguments map[string]any } `json:"qmp_request"`
	Reply         struct{ Return json.RawMessage }   `json:"qmp_reply"`
	Events        []struct {
		Data json.RawMessage
		DBus struct{ Payload typed } `json:"dbus_signal"`
	}
	DBusReply *typed `json:"dbus_reply"`
}

func readCalls(t *testing.T) []call {
	t.Helper()
	return readLines[call](t, "testdata/golden/recorded.jsonl")
}

// The arguments that busctl sent come out as QEMU got them. Which member a
// positional argument is needs the schema; that it is one of them does not.
func TestRecordedArguments(t *testing.T) {
	for _, c := range readCalls(t) {
		if c.Request.Arguments == nil || c.CallSignature == "" {
			continue
		}
		words := splitShell(c.Busctl)[2:]
		d := body(t, c.CallSignature, func(e *wire.Encoder) {
			for sig := c.CallSignature; sig != ""; {
				var first string
				first, sig = wire.SplitSignature(sig)
				words = encodeWords(t, e, first, words)
			}
		})
		for d.More() {
			json, err := schema.AppendValue(nil, d, c.ID)
			if err != nil {
				t.Errorf("%s: %v", c.ID, err)
				break
			}
			checkArgument(t, c, json)
		}
	}
}

// checkArgument checks that QEMU got the value, or each member of the value.
func checkArgument(t *testing.T, c call, json []byte) {
	t.Helper()
	if strings.HasPrefix(c.Busctl, "Call") {
		return // its first argument is the command, CallJson's second is text
	}
	value := unmarshal[any](t, json)
	if isArgument(c, value) {
		return
	}
	options, ok := value.(map[string]any)
	if !ok {
		t.Errorf("%s: %s is not in %v", c.ID, json, c.Request.Arguments)
	}
	for name, value := range options {
		if diff := cmp.Diff(c.Request.Arguments[name], value); diff != "" {
			t.Errorf("%s: %s (-want +got):\n%s", c.ID, name, diff)
		}
	}
}

func isArgument(c call, value any) bool {
	for _, argument := range c.Request.Arguments {
		if cmp.Equal(argument, value) {
			return true
		}
	}
	return false
}

// What busctl printed of a typed reply reads back as what QEMU sent.
func TestRecordedReplies(t *testing.T) {
	for _, c := range readCalls(t) {
		if c.DBusReply == nil || c.DBusReply.Type == "" || strings.HasPrefix(c.Busctl, "CallJson") {
			continue
		}
		data := unmarshal[[]json.RawMessage](t, c.DBusReply.Data)[0]
		d := body(t, c.DBusReply.Type, func(e *wire.Encoder) { encodeTyped(t, e, c.DBusReply.Type, data) })
		got, err := schema.AppendValue(nil, d, c.ID)
		if err != nil {
			t.Errorf("%s: %v", c.ID, err)
			continue
		}
		compareJSON(t, c.ID, c.Reply.Return, got)
	}
}

// A reply goes to D-Bus and back unchanged, its keys in order.
func TestRecordedRoundTrip(t *testing.T) {
	for _, c := range readCalls(t) {
		if len(c.Reply.Return) == 0 {
			continue
		}
		d := body(t, "v", func(e *wire.Encoder) {
			if err := schema.EncodeVariant(e, c.Reply.Return); err != nil {
				t.Errorf("%s: %v", c.ID, err)
			}
		})
		got, err := schema.AppendValue(nil, d, c.ID)
		if err != nil {
			t.Errorf("%s: %v", c.ID, err)
			continue
		}
		compareJSON(t, c.ID, c.Reply.Return, got)
	}
}

func TestRecordedEvents(t *testing.T) {
	for _, c := range readCalls(t) {
		for _, event := range c.Events {
			if event.DBus.Payload.Type != "a{sv}x" {
				continue
			}
			d := body(t, "a{sv}", func(e *wire.Encoder) {
				if err := schema.EncodeDict(e, event.Data); err != nil {
					t.Errorf("%s: %v", c.ID, err)
				}
			})
			want := unmarshal[[]any](t, event.DBus.Payload.Data)[0]
			if diff := cmp.Diff(want, decodeTyped(d)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.ID, diff)
			}
		}
	}
}

// compareJSON compares values, numbers by value: a typed d has 0.0 for 0.
func compareJSON(t *testing.T, what string, want, got []byte) {
	t.Helper()
	byValue := cmp.Comparer(func(a, b json.Number) bool {
		if a == b {
			return true
		}
		x, _ := a.Float64()
		y, _ := b.Float64()
		return x == y && slices.ContainsFunc([]json.Number{a, b}, func(n json.Number) bool {
			return strings.ContainsAny(n.String(), ".eE")
		})
	})
	if diff := cmp.Diff(unmarshal[any](t, want), unmarshal[any](t, got), byValue); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}
