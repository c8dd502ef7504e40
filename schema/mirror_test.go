package schema_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"qmp-dbus-bridge/schema"
)

// mirrorTable is the table of a QEMU whose commands take as an argument what they
// return: its commands are called mirror-NAME, which no frozen list knows, and have one
// argument, value. So the way of a value can be tested in both directions.
func mirrorTable(t testing.TB) *schema.Table {
	t.Helper()
	entries := unmarshal[[]map[string]any](t, compactSchema(t, "qmp-schema-10.0.2-x86_64.json"))
	for i, e := range entries {
		if e["meta-type"] != "command" {
			continue
		}
		name := fmt.Sprintf("mirror-arguments-%d", i)
		e["arg-type"], e["name"] = name, "mirror-"+e["name"].(string)
		entries = append(entries, map[string]any{
			"meta-type": "object", "name": name,
			"members": []any{map[string]any{"name": "value", "type": e["ret-type"]}},
		})
	}
	b, err := json.Marshal(entries)
	if err != nil {
		t.Fatal(err)
	}
	return parseTable(t, string(b))
}
