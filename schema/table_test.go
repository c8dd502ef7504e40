package schema_test

import (
	"path/filepath"
	"slices"
	"testing"

	"qmp-dbus-bridge/schema"
	"qmp-dbus-bridge/schema/wire"
)

func TestParseTable(t *testing.T) {
	for _, test := range []struct {
		file             string
		commands, events int
	}{
		{"qmp-schema-5.2.0-x86_64.json", 192, 48},
		{"qmp-schema-7.2.22-x86_64.json", 216, 52},
		{"qmp-schema-7.2.22-aarch64.json", 209, 52},
		{"qmp-schema-10.0.2-x86_64.json", 233, 55},
		{"qmp-schema-5.2.0-storage-daemon.json", 76, 13},
		{"qmp-schema-7.2.22-storage-daemon.json", 74, 13},
		{"qmp-schema-10.0.2-storage-daemon.json", 76, 13},
	} {
		c := parseTable(t, string(readFile(t, filepath.Join("testdata/schemas", test.file))))
		commands, events := c.Commands(), c.Events()
		if len(commands) != test.commands || len(events) != test.events {
			t.Errorf("%s: %d commands, %d events, want %d, %d", test.file, len(commands), len(events), test.commands, test.events)
		}
		if !slices.IsSorted(commands) || !slices.IsSorted(events) {
			t.Errorf("%s: not sorted", test.file)
		}
		if !c.HasCommand("query-block") || c.HasCommand("query-bloc") || c.HasCommand("SHUTDOWN") {
			t.Errorf("%s: HasCommand is wrong", test.file)
		}
		if !c.HasEvent("JOB_STATUS_CHANGE") || c.HasEvent("query-block") {
			t.Errorf("%s: HasEvent is wrong", test.file)
		}
		if names := c.Untyped(); len(names) > 0 {
			t.Errorf("%s: Untyped() = %q", test.file, names)
		}
		checkMembers(t, c)
	}
}

// checkMembers checks that every name of a real QEMU has a member of its own.
func checkMembers(t *testing.T, c *schema.Table) {
	t.Helper()
	members := make(map[string]string)
	for _, event := range c.Events() {
		member, found := c.EventSignal(event)
		if !found || !wire.ValidMember(member) || members[member] != "" {
			t.Errorf("EventSignal(%s) = %q, %v (also of %q)", event, member, found, members[member])
		}
		members[member] = event
	}
	clear(members)
	for _, command := range c.Commands() {
		member := schema.MethodName(command)
		if !wire.ValidMember(member) || members[member] != "" {
			t.Errorf("MethodName(%s) = %q (also of %q)", command, member, members[member])
		}
		members[member] = command
	}
}

func parseTable(t testing.TB, json string) *schema.Table {
	t.Helper()
	c, err := schema.ParseTable([]byte(json))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestEventSignal(t *testing.T) {
	c := parseTable(t, `[
		{"meta-type":"event","name":"B_C"}, {"meta-type":"event","name":"B-C"},
		{"meta-type":"event","name":"OTHER"}, {"meta-type":"event","name":"LOST"},
		{"meta-type":"event","name":"FINE"}, {"meta-type":"event","name":"FINE"},
		{"meta-type":"command","name":"stop"}, {"meta-type":"event","name":"STOP"},
		{"meta-type":"object","name":"0","members":[]}, {"meta-type":"new","name":"1","x":{"name":7}}]`)
	for event, want := range map[string]string{
		"FINE": "Fine", "STOP": "Stop", "B-C": "BC",
		"B_C": "", "OTHER": "", "LOST": "", "UNKNOWN": "", "": "",
	} {
		if got, found := c.EventSignal(event); got != want || found != (want != "") {
			t.Errorf("EventSignal(%s) = %q, %v, want %q", event, got, found, want)
		}
	}
	if got := c.Events(); len(got) != 6 {
		t.Errorf("events %q, want 6", got)
	}
	if got, found := new(schema.Table).EventSignal("STOP"); found {
		t.Errorf("an empty catalogue has %q", got)
	}
}

func TestParseTableErrors(t *testing.T) {
	for _, json := range []string{
		``, `{}`, `null`, `[`, `[1]`, `[[]]`, `[{}]`, `[{"meta-type":1}]`,
		`[{"meta-type":"command"}]`, `[{"meta-type":"event","name":null}]`, `[] []`,
	} {
		if _, err := schema.ParseTable([]byte(json)); err == nil {
			t.Errorf("ParseTable(%s) accepts", json)
		}
	}
}
