package audit_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"qmp-dbus-bridge/bridge/access"
	"qmp-dbus-bridge/bridge/action"
	"qmp-dbus-bridge/bridge/audit"
)

func record(tb testing.TB, label, command string) audit.Record {
	tb.Helper()
	caller, err := access.NewCaller(":1.5", 0, nil, 42, label)
	if err != nil {
		tb.Fatal(err)
	}
	return audit.Record{
		Time: time.Date(2024, 5, 6, 7, 8, 9, 12345678, time.FixedZone("", 3600)),
		Name: ":1.5", Caller: caller, Result: "ok", Duration: 1234567 * time.Nanosecond,
		Decision: decide(tb, caller, action.Command(command)),
	}
}

// decide decides by the built-in policy, in which uid 0 is an administrator.
func decide(tb testing.TB, caller *access.Caller, action action.Action) access.Decision {
	tb.Helper()
	rules, err := access.New(access.Config{VM: "vm"})
	if err != nil {
		tb.Fatal(err)
	}
	return rules.Decide(caller, action, nil)
}

func TestRecordJSON(t *testing.T) {
	nobody := audit.Record{Name: ":1.6", Result: "denied"}
	for _, tt := range []struct {
		record audit.Record
		want   string
	}{
		{record(t, "svirt", "stop"), `{"time":"2024-05-06T06:08:09.012345Z","caller":":1.5","uid":0,"pid":42,` +
			`"label":"svirt","action":"stop","decision":"allow","policy":"admin","result":"ok","duration_us":1234}`},
		{record(t, "", "a:b"), `{"time":"2024-05-06T06:08:09.012345Z","caller":":1.5","uid":0,"pid":42,` +
			`"label":"","action":"command:a:b","decision":"deny","policy":"invalid-action","result":"ok","duration_us":1234}`},
		{nobody, `{"time":"0001-01-01T00:00:00.000000Z","caller":":1.6","uid":null,"pid":null,` +
			`"label":"","action":"","decision":"deny","policy":"default-deny","result":"denied","duration_us":0}`},
	} {
		if diff := cmp.Diff(tt.want+"\n", string(tt.record.AppendJSON(nil))); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	}
}

func TestRecordEscapes(t *testing.T) {
	for command, want := range map[string]string{
		"a\nb":         `a\u000ab`,
		"\x1b[2J":      `\u001b[2J`,
		`"\`:           `\"\\`,
		"\u009b2J":     `\u009b2J`,
		"\x7f\x00":     `\u007f\u0000`,
		"\u2028\u202e": `\u2028\u202e`,
		"\xff":         `\ufffd`,
		"é😀":           `é😀`,
		"\U000e0041":   `\udb40\udc41`,
	} {
		line := record(t, "", command).AppendJSON(nil)
		var got struct{ Action string }
		if err := json.Unmarshal(line, &got); err != nil {
			t.Errorf("%q: %v", command, err)
		}
		if fields := record(t, "", command).JournalFields(); fields["QMP_ACTION"] != want {
			t.Errorf("%q: escaped as %q, want %q", command, fields["QMP_ACTION"], want)
		}
	}
}

func TestJournalFields(t *testing.T) {
	got := record(t, "svirt", "stop").JournalFields()
	want := map[string]string{
		"QMP_TIME": "2024-05-06T06:08:09.012345Z", "QMP_CALLER": ":1.5", "QMP_UID": "0", "QMP_PID": "42",
		"QMP_LABEL": "svirt", "QMP_ACTION": "stop", "QMP_DECISION": "allow", "QMP_POLICY": "admin",
		"QMP_RESULT": "ok", "QMP_DURATION_US": "1234",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if _, ok := (audit.Record{}).JournalFields()["QMP_UID"]; ok {
		t.Error("a record without identity has a uid")
	}
}
