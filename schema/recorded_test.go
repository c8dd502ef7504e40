package schema_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"qmp-dbus-bridge/schema"
	"qmp-dbus-bridge/schema/wire"
)

// call is one recorded call of testdata/golden/recorded.jsonl.
type call struct {
	ID, QEMU      string
	CallSignature string `json:"call_signature"`
	Busctl        string
	Request       *struct {
		Execute   string
		Arguments json.RawMessage
	} `json:"qmp_request"`
	Reply  struct{ Return json.RawMessage } `json:"qmp_reply"`
	Events []struct {
		Event string
		Data  json.RawMessage
		DBus  struct{ Payload typed } `json:"dbus_signal"`
	}
	DBusReply *typed                          `json:"dbus_reply"`
	DBusError *struct{ Name, Message string } `json:"dbus_error"`
}

// words are the parts of the busctl command line: method, signature, values.
func (c call) words() []string { return splitShell(c.Busctl) }

// isTyped reports whether the call is of a command's own method.
func (c call) isTyped() bool {
	return !slices.Contains([]string{"Call", "CallJson", "NoSuchMethod"}, c.words()[0])
}

// recorder gives the recorded calls and the tables of the QEMUs that answered.
type recorder struct {
	calls  []call
	tables map[string]*schema.Table
}

func readCalls(t *testing.T) recorder {
	t.Helper()
	r := recorder{readLines[call](t, "testdata/golden/recorded.jsonl"), make(map[string]*schema.Table)}
	for _, version := range []string{"7.2.22", "10.0.2"} {
		r.tables[version] = parseTable(t, string(readFile(t, "testdata/schemas/qmp-schema-"+version+"-x86_64.json")))
	}
	return r
}

// command finds the plan of a typed call by its method.
func (r recorder) command(t *testing.T, c call) *schema.Command {
	t.Helper()
	command := r.tables[c.QEMU].Method(c.words()[0])
	if command == nil {
		t.Fatalf("%s: no method %s", c.ID, c.words()[0])
	}
	return command
}

// The arguments that busctl sent become what QEMU got, or are refused as the
// recorded bridge did, which had other words for types.
func TestRecordedArguments(t *testing.T) {
	r := readCalls(t)
	for _, c := range r.calls {
		if !c.isTyped() {
			continue
		}
		d := body(t, c.CallSignature, func(e *wire.Encoder) {
			if c.CallSignature != "" {
				encodeList(t, e, c.CallSignature, c.words()[2:])
			}
		})
		got, err := r.command(t, c).AppendArguments(nil, d, c.CallSignature, nil)
		switch {
		case c.Request == nil:
			checkRefused(t, c, err)
		case err != nil:
			t.Errorf("%s: %v", c.ID, err)
		default:
			compareJSON(t, c.ID, orEmpty(c.Request.Arguments), got)
		}
	}
}

func orEmpty(json []byte) []byte {
	if len(json) == 0 {
		return []byte("{}")
	}
	return json
}

func checkRefused(t *testing.T, c call, err error) {
	t.Helper()
	want := c.DBusError.Message
	if before, _, isType := strings.Cut(want, "expected "); isType {
		want = before + "expected int, got string"
	}
	if argument, ok := errors.AsType[*schema.ArgumentError](err); !ok || argument.Error() != want {
		t.Errorf("%s: %v, want %s", c.ID, err, want)
	}
}

// encodeList writes the values of a signature from the words of busctl.
func encodeList(t testing.TB, e *wire.Encoder, signature string, words []string) {
	t.Helper()
	for signature != "" {
		var first string
		first, signature = wire.SplitSignature(signature)
		words = encodeWords(t, e, first, words)
	}
}

// A reply becomes what busctl printed.
func TestRecordedReplies(t *testing.T) {
	r := readCalls(t)
	for _, c := range r.calls {
		if !c.isTyped() || c.DBusReply == nil {
			continue
		}
		command := r.command(t, c)
		if got := command.OutSignature(); got != c.DBusReply.Type {
			t.Errorf("%s: result of type %q, want %q", c.ID, got, c.DBusReply.Type)
			continue
		}
		d := body(t, c.DBusReply.Type, func(e *wire.Encoder) {
			if m, err := command.EncodeResult(e, c.Reply.Return); err != nil || m.Count > 0 {
				t.Errorf("%s: %v, %v", c.ID, m, err)
			}
		})
		want, got := unmarshal[[]any](t, c.DBusReply.Data), []any{}
		for d.More() {
			got = append(got, decodeTyped(d))
		}
		if diff := cmp.Diff(emptyDicts(want), emptyDicts(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.ID, diff)
		}
	}
}

// emptyDicts makes empty dictionaries lists, as busctl writes them in an array.
func emptyDicts(v any) any {
	switch v := v.(type) {
	case map[string]any:
		if len(v) == 0 {
			return []any{}
		}
		for key := range v {
			v[key] = emptyDicts(v[key])
		}
	case []any:
		for i := range v {
			v[i] = emptyDicts(v[i])
		}
	}
	return v
}

// Call and CallJson carry the same as QEMU got.
func TestRecordedGeneric(t *testing.T) {
	r := readCalls(t)
	for _, c := range r.calls {
		words := c.words()
		switch words[0] {
		case "Call":
			if command := r.tables[c.QEMU].Command(words[2]); command != nil {
				t.Errorf("%s: QEMU has %s", c.ID, words[2])
			}
		case "CallJson":
			got, err := schema.Canonical(nil, []byte(words[3]), words[2])
			if err != nil {
				t.Errorf("%s: %v", c.ID, err)
				continue
			}
			compareJSON(t, c.ID, c.Request.Arguments, got)
		}
	}
}

// By name in one dictionary the same arguments are taken, also by Call.
func TestRecordedByName(t *testing.T) {
	r := readCalls(t)
	for _, c := range r.calls {
		if !c.isTyped() || c.Request == nil || len(c.Request.Arguments) == 0 {
			continue
		}
		d := body(t, "v", func(e *wire.Encoder) {
			if err := schema.EncodeVariant(e, c.Request.Arguments); err != nil {
				t.Error(err)
			}
		})
		got, err := r.command(t, c).AppendMembers(nil, d, nil)
		if err != nil {
			t.Errorf("%s: %v", c.ID, err)
			continue
		}
		compareJSON(t, c.ID, c.Request.Arguments, got)
	}
}

func TestRecordedEvents(t *testing.T) {
	r := readCalls(t)
	for _, c := range r.calls {
		for _, event := range c.Events {
			if event.DBus.Payload.Type != "a{sv}x" {
				continue
			}
			d := body(t, "a{sv}", func(e *wire.Encoder) {
				if m, err := r.tables[c.QEMU].EncodeEvent(e, event.Event, event.Data); err != nil || m.Count > 0 {
					t.Errorf("%s: %v, %v", c.ID, m, err)
				}
			})
			want := unmarshal[[]any](t, event.DBus.Payload.Data)[0]
			if diff := cmp.Diff(emptyDicts(want), emptyDicts(decodeTyped(d))); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.ID, diff)
			}
		}
	}
}

// compareJSON compares values, numbers by value: a typed d has 0.0 for 0.
func compareJSON(t *testing.T, what string, want, got []byte) {
	t.Helper()
	if diff := cmp.Diff(unmarshal[any](t, want), unmarshal[any](t, got), byValue); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}
