package audit_test

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"qmp-dbus-bridge/bridge/access"
	"qmp-dbus-bridge/bridge/action"
	"qmp-dbus-bridge/bridge/audit"
)

// FuzzRecord checks that a record is one harmless line whatever callers and QEMU say.
func FuzzRecord(f *testing.F) {
	for _, text := range []string{"stop", ":1.5", "event:STOP", "\x1b[0m\n", "\xff", "é", "\u2028", `"\`, "\U000e0041"} {
		f.Add(text, text, text)
	}
	f.Fuzz(func(t *testing.T, label, command, result string) {
		one := audit.Record{Name: ":1.5", Result: result}
		one.Caller, _ = access.NewCaller(":1.5", 1001, nil, 0, label)
		one.Decision = decide(t, one.Caller, action.Command(command))
		line, ok := strings.CutSuffix(string(one.AppendJSON(nil)), "\n")
		if !ok || !json.Valid([]byte(line)) {
			t.Errorf("not a line of JSON: %q", line)
		}
		for _, r := range line {
			if !strconv.IsPrint(r) {
				t.Errorf("%q has %U", line, r)
			}
		}
	})
}
