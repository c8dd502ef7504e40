package access_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"qmp-dbus-bridge/bridge/action"
)

// TestCapturedSchemas has every command and event of every captured QEMU: one that has no class in the
// tables is host, or sensitive-read, and nobody but an administrator gets it.
func TestCapturedSchemas(t *testing.T) {
	rules := newAuthorizer(t)
	commands, events := table(t, "risk.tsv"), table(t, "events.tsv")
	files, err := filepath.Glob("../../schema/testdata/schemas/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no captured schemas: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var entries []struct {
			Meta string `json:"meta-type"`
			Name string `json:"name"`
		}
		if err := json.Unmarshal(text, &entries); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, entry := range entries {
			var asked action.Action
			var class action.Class
			classed, worst := false, action.ClassHost
			switch entry.Meta {
			case "command":
				asked = action.Command(entry.Name)
				class, classed = commands[entry.Name]
			case "event":
				asked, worst = action.Event(entry.Name), action.ClassSensitiveRead
				class, classed = events[entry.Name]
			default:
				continue
			}
			if !classed {
				t.Logf("%s: the %s %s has no class", file, entry.Meta, entry.Name)
				class = worst
			}
			if asked.Class() != class {
				t.Errorf("%s: %s has class %q, want %q", file, entry.Name, asked.Class(), class)
			}
			if classed {
				continue
			}
			for _, s := range subjects() {
				want := s.mayCommand(entry.Name, worst)
				if got := rules.Decide(newCaller(t, s.uid, s.gids...), asked, nil); got.Allowed() != want {
					t.Errorf("%s: %s: %s = %v by %s, want %v", file, s.name, entry.Name, got.Allowed(), got.Policy(), want)
				}
			}
		}
	}
}
