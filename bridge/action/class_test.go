package action_test

import (
	"os"
	"strings"
	"testing"

	"qmp-dbus-bridge/bridge/action"
)

// table reads the first two columns of one of the package's tables.
func table(tb testing.TB, file string) map[string]action.Class {
	tb.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		tb.Fatal(err)
	}
	rows := make(map[string]action.Class)
	for line := range strings.Lines(string(text)) {
		if columns := strings.Split(line, "\t"); line[0] != '#' {
			rows[columns[0]] = action.Class(columns[1])
		}
	}
	if len(rows) < 50 {
		tb.Fatalf("%s has %d rows", file, len(rows))
	}
	return rows
}

func TestCommandClass(t *testing.T) {
	for name, want := range table(t, "risk.tsv") {
		if got := action.CommandClass(name); got != want {
			t.Errorf("CommandClass(%q) = %q, want %q", name, got, want)
		}
	}
	for _, name := range []string{"", "nonsense", "Stop", "STOP", "system-reset", "# command", "stop "} {
		if got := action.CommandClass(name); got != action.ClassHost {
			t.Errorf("CommandClass(%q) = %q, want host", name, got)
		}
	}
}

// TestFileNamesAreSensitive has the commands that tell names of files of the host, or QEMU's words that quote them, above what viewers may.
func TestFileNamesAreSensitive(t *testing.T) {
	for _, name := range []string{
		"query-audiodevs", "query-block", "query-block-jobs", "query-chardev", "query-jobs", "query-migrate", "query-named-block-nodes",
		"query-replay",
	} {
		if got := action.CommandClass(name); got != action.ClassSensitiveRead {
			t.Errorf("CommandClass(%q) = %q, want sensitive-read", name, got)
		}
	}
}

func TestEventClass(t *testing.T) {
	for name, want := range table(t, "events.tsv") {
		if got := action.EventClass(name); got != want {
			t.Errorf("EventClass(%q) = %q, want %q", name, got, want)
		}
	}
	for _, name := range []string{"", "NEW_EVENT", "stop", "# event"} {
		if got := action.EventClass(name); got != action.ClassSensitiveRead {
			t.Errorf("EventClass(%q) = %q, want sensitive-read", name, got)
		}
	}
}

// What is printed of the classes is what the tables say.
func TestClassTable(t *testing.T) {
	lines := strings.Split(strings.TrimSuffix(action.ClassTable(), "\n"), "\n")
	commands, events := table(t, "risk.tsv"), table(t, "events.tsv")
	if len(lines) != len(commands)+len(events) {
		t.Errorf("%d lines for %d commands and %d events", len(lines), len(commands), len(events))
	}
	for _, line := range lines {
		class, name, _ := strings.Cut(line, "\t")
		want := commands[name]
		if event, ok := strings.CutPrefix(name, "event:"); ok {
			want = events[event]
		}
		if string(want) != class {
			t.Errorf("%q, but the table has %s", line, want)
		}
	}
}
