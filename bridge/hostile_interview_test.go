package bridge_test

import (
	"strings"
	"testing"
)

// TestHostileInterview has a QEMU answer the first questions wrongly: Connect fails with what was wrong,
// or what can be is shown.
func TestHostileInterview(t *testing.T) {
	for _, test := range []struct{ command, answer, err string }{
		{"query-name", `[]`, "query-name: "},
		{"query-name", `{"name": 5}`, "query-name: "},
		{"query-name", nested(5000), "query-name: "},
		{"query-uuid", `{"UUID": "not one"}`, "query-uuid: "},
		{"query-uuid", `{"UUID": {}}`, "query-uuid: "},
		{"query-target", `"x86_64"`, "query-target: "},
		{"query-qmp-schema", `{}`, "schema: "},
		{"query-qmp-schema", `null`, "schema: "},
		{"query-qmp-schema", `[{"meta-type": "command"}]`, "schema: "},
		{"query-qmp-schema", `[{"meta-type": 1, "name": "a"}]`, "schema: "},
		{"query-qmp-schema", nested(5000), "schema: "},
		{"query-display-options", `[]`, "query-display-options: "},
		{"query-display-options", `{"type": "dbus", "p2p": 1}`, "query-display-options: "},
		{"query-display-options", `{"type": "dbus"}`, "qom-list: "}, // which returns {}
		{"query-display-options", `{"type": "dbus", "p2p": true}`, ""},
		{"query-status", `{"status": 5, "running": true}`, ""},
		{"query-status", `[]`, ""},
		{"query-status", `{}`, ""},
		{"query-name", `{}`, ""},
		{"query-name", `{"name": null}`, ""},
		{"query-uuid", `{}`, ""},
		{"query-qmp-schema", `[]`, ""},
	} {
		m := newMachine(t, map[string]string{test.command: test.answer})
		w := newWorld(t, m.dial)
		err := w.connect()
		if (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("%s returns %.40s: Connect: %v, want %q", test.command, test.answer, err, test.err)
		}
		m.die()
	}
}

// TestHostileStatus has query-status return nonsense: nothing of that is shown.
func TestHostileStatus(t *testing.T) {
	m := newMachine(t, nil)
	c := serve(t, m).as(admin)
	for _, answer := range []string{`[]`, `{"status": 5, "running": true}`, `"running"`, `null`, `{"running": "yes"}`, nested(64)} {
		m.answer("query-status", running)
		if err := c.vm("Resume"); err != nil || get[string](c, "Status") != "running" {
			t.Fatalf("Resume: %v", err)
		}
		m.answer("query-status", answer)
		if err := c.vm("Resume"); err != nil {
			t.Fatal(err)
		}
		if status, running := get[string](c, "Status"), get[bool](c, "Running"); status != "" || running {
			t.Errorf("query-status returned %.40s: Status = %q, Running = %v", answer, status, running)
		}
	}
}

// TestHostileRecovery has a QEMU tell of something that can't be read, and of something that can, by turns: it does not fill the log.
func TestHostileRecovery(t *testing.T) {
	const times = 100
	m := newMachine(t, nil)
	w, log := serveLogged(t, m)
	for range times {
		for _, answer := range []string{`[]`, running} {
			m.answer("query-status", answer)
			m.client().Event("RESUME", "")
			w.sync()
		}
	}
	if lines := log.lines("can't be read"); len(lines) == 0 || len(lines) > 7 {
		t.Errorf("%d lines for %d times: %q", len(lines), times, lines)
	}
}

// TestHostileNames has all names of QEMU's be other than names are.
func TestHostileNames(t *testing.T) {
	names := []string{
		"a\nb", "\x1b[31m", "<&\"'>", "\x01\x02", "\uFFFE", "", "1", "Lost", "Other", "x\x00y",
		strings.Repeat("X", 512), strings.Repeat("Ä", 256), "stop", "STOP", "St-Op",
	}
	m := newMachine(t, map[string]string{
		"query-name":       "{\"name\": \"line 1\\nline\xff2\\u0000\x7f\"}",
		"query-target":     `{"arch": "` + longText + `"}`,
		"query-status":     "{\"status\": \"\\u001b\\u0000\\ud800\", \"running\": true}",
		"query-qmp-schema": schemaOf(t, names, names),
	})
	c := serve(t, m).as(admin)
	if name, want := get[string](c, "Name"), "line 1\nline\uFFFD2\uFFFD\x7f"; name != want {
		t.Errorf("Name = %q, want %q", name, want)
	}
	if target := get[string](c, "Target"); target != longText[:255] {
		t.Errorf("Target = %.40q, %d bytes", target, len(target))
	}
	if status, want := get[string](c, "Status"), "\x1b\uFFFD\uFFFD"; status != want {
		t.Errorf("Status = %q, want %q", status, want)
	}
	signals := map[string]bool{}
	for _, i := range c.introspect(qmpPath).Interfaces { // XML that can be read
		for _, s := range i.Signals {
			if signals[s.Name] {
				t.Errorf("two signals %s", s.Name)
			}
			signals[s.Name] = true
		}
	}
	if list, err := c.call(vmPath, busName+".ListCommands"); err != nil || len(list.([]string)) == 0 {
		t.Errorf("ListCommands = %.100v, %v", list, err)
	}
	if _, err := c.call(vmPath, "org.freedesktop.DBus.ObjectManager.GetManagedObjects"); err != nil {
		t.Error(err)
	}
}
