package schema_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"maps"
	"path/filepath"
	"slices"
	"testing"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"qmp-dbus-bridge/schema"
	"qmp-dbus-bridge/schema/wire"
)

// maxGenerated is how many levels generated values have; D-Bus has room for 20.
const maxGenerated = 5

// Every command of every schema takes what its schema allows, in every form, and
// passes on what was meant.
func TestGeneratedArguments(t *testing.T) {
	forEachCommand(t, func(t *testing.T, q *qapi, table *schema.Table, c qapiEntry) {
		command := table.Command(c.Name)
		front := frontOf(t, table, q, c)
		rapid.Check(t, func(rt *rapid.T) {
			arguments := q.value(rt, c.ArgType, maxGenerated).(map[string]any)
			signature, body := drawCall(rt, arguments, front)
			d := wire.NewDecoder(binary.LittleEndian, signature, body, 0)
			got, err := command.AppendArguments(nil, &d, signature, nil)
			if err != nil {
				rt.Fatalf("%v as %s: %v", arguments, signature, err)
			}
			if diff := cmp.Diff(arguments, decodeJSON(rt, got), byValue, cmpopts.EquateEmpty()); diff != "" {
				rt.Fatalf("%s (-want +got):\n%s", signature, diff)
			}
		})
	})
}

// forEachCommand runs a test for each command that has a method.
func forEachCommand(t *testing.T, test func(*testing.T, *qapi, *schema.Table, qapiEntry)) {
	t.Helper()
	for _, file := range schemaFiles(t) {
		text := readFile(t, file)
		q, table := readQAPI(t, text), parseTable(t, string(text))
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			for _, c := range q.commands {
				if table.Command(c.Name).Member() != "" {
					t.Run(c.Name, func(t *testing.T) { test(t, q, table, c) })
				}
			}
		})
	}
}

// frontOf returns the members that the method takes in front of the dictionary:
// of commands in the frozen list those, of others what is mandatory.
func frontOf(t *testing.T, table *schema.Table, q *qapi, c qapiEntry) []string {
	t.Helper()
	command := table.Command(c.Name)
	i := slices.IndexFunc(table.Methods(), func(m schema.Method) bool { return m.Name == command.Member() })
	in := table.Methods()[i].In
	var front []string
	for _, m := range q.types[c.ArgType].Members {
		if len(front) < len(in) && !bool(m.Default) && in[len(front)].Name == schema.ArgName(m.Name) {
			front = append(front, m.Name)
		}
	}
	return front
}

// drawCall draws the form of a call: all by name, or some in front. A dictionary
// alone is all by name, so one in front is followed by one of the others.
func drawCall(t *rapid.T, arguments map[string]any, front []string) (signature string, body []byte) {
	if _, isDict := arguments[first(front)].(map[string]any); !isDict && rapid.Bool().Draw(t, "by name") {
		front = nil
	}
	rest := maps.Clone(arguments)
	var parts []loose
	for _, name := range front {
		parts = append(parts, drawLoose(t, arguments[name]))
		delete(rest, name)
	}
	isAlone := len(parts) == 1 && parts[0].signature == "a{sv}"
	if len(rest) > 0 || isAlone || rapid.Bool().Draw(t, "empty") {
		parts = append(parts, drawDict(t, rest))
	}
	var e wire.Encoder
	e.Reset()
	for _, p := range parts {
		signature += p.signature
		p.write(&e)
	}
	if err := e.Err(); err != nil {
		t.Fatal(err)
	}
	return signature, e.Bytes()
}

// first returns the first of some names, "" if there is none.
func first(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return names[0]
}

// decodeJSON reads JSON with its numbers as they are.
func decodeJSON(t interface{ Fatal(...any) }, text []byte) any {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// Every reply that the schema allows is read by godbus as it was meant, and comes
// back from a command that takes such a value.
func TestGeneratedReplies(t *testing.T) {
	q := readQAPI(t, compactSchema(t, "qmp-schema-10.0.2-x86_64.json"))
	table := mirrorTable(t)
	for _, c := range q.commands {
		if q.types[c.RetType].MetaType == "object" && len(q.types[c.RetType].Members) == 0 {
			continue
		}
		mirror := table.Command("mirror-" + c.Name)
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(rt *rapid.T) {
				value := q.value(rt, c.RetType, maxGenerated)
				text, err := json.Marshal(value)
				if err != nil {
					rt.Fatal(err)
				}
				checkReply(rt, mirror, text, value)
			})
		})
	}
}

func checkReply(t *rapid.T, mirror *schema.Command, text []byte, value any) {
	var e wire.Encoder
	e.Begin(&wire.Header{
		Type: wire.MethodCall, Serial: 1, Path: "/", Member: "M", Signature: mirror.OutSignature(),
	})
	if m, err := mirror.EncodeResult(&e, text); err != nil || m.Count > 0 {
		t.Fatalf("%s: %v, %v", text, m, err)
	}
	message, err := e.Finish()
	if err != nil {
		t.Fatal(err)
	}
	checkGodbusReads(t, message, value)
	m, err := wire.ParseMessage(message)
	if err != nil {
		t.Fatal(err)
	}
	d := m.Decoder()
	back, err := mirror.AppendArguments(nil, &d, m.Signature, nil)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	want := map[string]any{"value": value}
	if diff := cmp.Diff(want, decodeJSON(t, back), byValue, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("%s came back (-want +got):\n%s", text, diff)
	}
}

func checkGodbusReads(t *rapid.T, message []byte, value any) {
	m, err := dbus.DecodeMessage(bytes.NewReader(message))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(value, plain(m.Body[0]), byValue, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("godbus (-want +got):\n%s", diff)
	}
}
