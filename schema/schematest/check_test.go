package schematest_test

import (
	"strings"
	"testing"

	"qmp-dbus-bridge/schema"
	"qmp-dbus-bridge/schema/schematest"
)

func TestCheck(t *testing.T) {
	for want, table := range map[string]schema.Interface{
		"not an interface name": {Name: "org"},
		"not a member name":     {Name: "a.b", Methods: []schema.Method{{Name: "query-status"}}},
		"twice":                 {Name: "a.b", Methods: []schema.Method{{Name: "Stop"}}, Signals: []schema.Signal{{Name: "Stop"}}},
		"one complete type":     {Name: "a.b", Properties: []schema.Property{{Name: "P", Type: "ss"}}},
		"signal S: '' is not":   {Name: "a.b", Signals: []schema.Signal{{Name: "S", Args: []schema.Arg{{Name: "x"}}}}},
		"method M":              {Name: "a.b", Methods: []schema.Method{{Name: "M", In: []schema.Arg{{Type: "a"}}}}},
		"signature":             {Name: "a.b", Methods: []schema.Method{{Name: "M", Out: longArgs(256)}}},
	} {
		if err := schematest.Check(table); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Check = %v, want %s", err, want)
		}
	}
	if err := schematest.Check(schema.Interface{Name: "a.b", Methods: []schema.Method{{Name: "M", Out: longArgs(255)}}}); err != nil {
		t.Error(err)
	}
}

func longArgs(n int) []schema.Arg {
	args := make([]schema.Arg, n)
	for i := range args {
		args[i].Type = "y"
	}
	return args
}
