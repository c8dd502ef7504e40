package audit_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"qmp-dbus-bridge/bridge/access"
	"qmp-dbus-bridge/bridge/action"
	"qmp-dbus-bridge/bridge/audit"
)

// contract is docs/audit.md: the tables' rows of members, and the examples.
type contract struct {
	members  []contractMember
	examples []string
}

type contractMember struct{ name, journal, kind string }

func readContract(t *testing.T) (c contract) {
	t.Helper()
	text, err := os.ReadFile("../../docs/audit.md")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile("^\\| `([a-z_]+)` \\| `(QMP_[A-Z_]+)` \\| (string|number|number or null) \\|")
	for line := range strings.Lines(string(text)) {
		if m := row.FindStringSubmatch(line); m != nil {
			c.members = append(c.members, contractMember{m[1], m[2], m[3]})
		}
		if example, found := strings.CutPrefix(line, "    {"); found {
			c.examples = append(c.examples, "{"+strings.TrimSpace(example))
		}
	}
	if len(c.members) == 0 || len(c.examples) == 0 {
		t.Fatal("docs/audit.md has no members or no examples")
	}
	return c
}

// members gives the names of a record's members in their order, and their types.
func members(t *testing.T, line string) (names []string, kinds map[string]string) {
	t.Helper()
	kinds = map[string]string{}
	d := json.NewDecoder(strings.NewReader(line))
	for {
		token, err := d.Token()
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if token == json.Delim('{') {
			continue
		}
		if token == json.Delim('}') {
			return names, kinds
		}
		name := token.(string)
		value, err := d.Token()
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		names = append(names, name)
		kinds[name] = map[bool]string{true: "null", false: fmt.Sprintf("%T", value)}[value == nil]
	}
}

// TestContract compares docs/audit.md with the records: members, order, types, names in the journal. Its examples are
// records, byte for byte as they would be written.
func TestContract(t *testing.T) {
	c := readContract(t)
	var want []string
	types := map[string][]string{"string": {"string"}, "number": {"float64"}, "number or null": {"float64", "null"}}
	known := record(t, "label", "stop")
	for _, r := range []audit.Record{known, {Name: ":1.6"}} {
		names, kinds := members(t, string(r.AppendJSON(nil)))
		want = want[:0]
		for _, m := range c.members {
			want = append(want, m.name)
			if !slices.Contains(types[m.kind], kinds[m.name]) {
				t.Errorf("%s is of type %s, docs/audit.md says %s", m.name, kinds[m.name], m.kind)
			}
		}
		if !slices.Equal(names, want) {
			t.Errorf("members %v, docs/audit.md has %v", names, want)
		}
	}
	fields := known.JournalFields()
	for _, m := range c.members {
		if _, found := fields[m.journal]; !found || len(fields) != len(c.members) {
			t.Errorf("fields of the journal %v, docs/audit.md has %s", fields, m.journal)
		}
	}
	for _, example := range c.examples {
		if names, _ := members(t, example); !slices.Equal(names, want) {
			t.Errorf("example with members %v, want %v", names, want)
		}
		checkExample(t, example)
	}
}

// checkExample makes the record that an example tells of.
func checkExample(t *testing.T, example string) {
	t.Helper()
	var e struct {
		Time                                            time.Time
		Caller, Label, Action, Decision, Policy, Result string
		UID, PID                                        *uint32
		Duration                                        int64 `json:"duration_us"`
	}
	if err := json.Unmarshal([]byte(example), &e); err != nil {
		t.Fatal(err)
	}
	r := audit.Record{Time: e.Time, Name: e.Caller, Result: e.Result, Duration: time.Duration(e.Duration) * time.Microsecond}
	if e.UID != nil {
		caller, err := access.NewCaller(e.Caller, *e.UID, nil, *e.PID, e.Label)
		if err != nil {
			t.Fatal(err)
		}
		r.Caller = caller
	}
	asked := action.Command(e.Action)
	if name, isEvent := strings.CutPrefix(e.Action, "event:"); isEvent {
		asked = action.Event(name)
	} else if e.Action == "introspect" {
		asked = action.Introspect()
	}
	r.Decision = decide(t, r.Caller, asked)
	if got := bytes.TrimSpace(r.AppendJSON(nil)); string(got) != example {
		t.Errorf("the example\n%s\nwould be\n%s", example, got)
	}
}
