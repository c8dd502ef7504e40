package e2e_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"qmp-dbus-bridge/e2e/rig"
	"qmp-dbus-bridge/qmp/qmptest"
)

// nasty is what must not reach a terminal or begin a line of a log: an escape sequence in both forms, a line that
// looks like one of ours, a carriage return, an override of the writing direction.
const nasty = "\x1b[2J\u009b31m\r\nqmp-dbus-bridge: forged\u202e\x07\x7f"

// TestEscapeCodes has a hostile QEMU and a caller say nasty words wherever they can: the log, the audit and
// what the program prints when it fails have them escaped, each on its line.
func TestEscapeCodes(t *testing.T) {
	words, err := json.Marshal(nasty)
	if err != nil {
		t.Fatal(err)
	}
	said := string(words)
	refuse := func(q *qmptest.QEMU) { q.Send(`{"error": {"class": ` + said + `, "desc": ` + said + "}}\r\n") }
	answers := map[string]string{
		"query-name":   `{"name": ` + said + `}`,
		"query-target": `{"arch": ` + said + `}`,
		"query-uuid":   `{"UUID": "6ba7b810-9dad-11d1-80b4-00c04fd430c8"}`,
		"query-status": `{"status": ` + said + `, "running": true}`,
		"query-qmp-schema": fmt.Sprintf(`[{"meta-type":"command","name":%s},{"meta-type":"event","name":%[1]s},`+
			`{"meta-type":"command","name":"query-it","arg-type":"0","ret-type":"1"},{"meta-type":"object","name":"0","members":[]},`+
			`{"meta-type":"object","name":"1","members":[{"name":"size","type":"int"}]},{"meta-type":"builtin","name":"int","json-type":"int"}]`, said),
		"query-it": `{` + said + `: ` + said + `}`,
	}
	answer := func(q *qmptest.QEMU, r *qmptest.Request) {
		if value, known := answers[r.Name]; known {
			r.Return(value)
			return
		}
		switch r.Name {
		case nasty, "stop":
			refuse(q) // by what is a reply to no command
		case "query-qmp-schema":
			r.Fail(nasty, nasty)
		default: // the bridge asks more when it connects
			r.Fail("CommandNotFound", "no")
		}
	}
	path := filepath.Join(rig.TempDir(t), "qmp")
	fake := qmptest.ListenAt(t, path, qmptest.Options{}, answer)
	audit := filepath.Join(rig.TempDir(t), "audit")
	b := startBridge(t, "serve", "--qmp", path, "--bus-dir", filepath.Join(rig.TempDir(t), "bus"), "--audit", audit)
	conn := rig.Self().MustDial(t, b.address)
	for _, command := range []string{nasty, "query-it", "stop"} {
		_, _ = qmp(conn, command, nil)
	}
	_ = conn.Object(busName, qmpPath).Call(qmpIf+".CallJson", 0, nasty, "").Err
	_ = conn.Object(busName, vmPath).Call(busName+".Subscribe", 0, []string{nasty}).Err
	_ = conn.Object(busName, vmPath).Call(busName+".CanExecute", 0, nasty).Err
	fake.Client().Send(fmt.Sprintf(`{"event": %s, "data": {%[1]s: 1}, "timestamp": {"seconds": 1, "microseconds": 1}}`+"\r\n", said))
	deep := strings.Repeat("[", 100) + strings.Repeat("]", 100) // comes as JSON, which is logged
	fake.Client().Send(fmt.Sprintf(`{"event": %s, "data": {"a": %s}, "timestamp": {"seconds": 1, "microseconds": 1}}`+"\r\n", said, deep))
	_, _ = qmp(conn, "query-it", nil)
	fake.Client().Send(`{"return": {}, "id": ` + said + "}\r\n" + `{` + said + `: {}}` + "\r\n" + nasty + "\r\n")
	rig.Eventually(t, "it has gone", func() bool { return strings.Contains(b.Output(), "QEMU has gone") })
	b.Stop()
	harmlessText(t, "the log", b.Output())
	text, err := os.ReadFile(audit)
	if err != nil {
		t.Fatal(err)
	}
	harmlessText(t, "the audit", string(text))
	if n := strings.Count(string(text), `[2J`); n < 2 {
		t.Errorf("the audit names the command %d times:\n%s", n, text)
	}
	fake.Close()
	_ = os.Remove(path)

	answers["query-uuid"] = `{"UUID": ` + said + `}`
	for _, failing := range []string{"query-uuid", "query-qmp-schema", "greeting"} {
		t.Run(failing, func(t *testing.T) {
			var options qmptest.Options
			if failing == "greeting" {
				options.Greeting = `{"error": {"class": ` + said + `, "desc": ` + said + `}}`
			}
			delete(answers, "query-qmp-schema") // then it is refused
			path := filepath.Join(rig.TempDir(t), "qmp")
			qmptest.ListenAt(t, path, options, answer)
			printed, status := rig.Run(t, command("serve", "--qmp", path, "--bus-dir", filepath.Join(rig.TempDir(t), "bus")))
			if status != 1 || strings.Count(printed, "\n") != 1 {
				t.Errorf("exit status %d and %q, want 1 and one line", status, printed)
			}
			harmlessText(t, "the program", printed)
			delete(answers, "query-uuid")
		})
	}
}

// harmlessText checks that each character of text prints, and that nobody made a line of it.
func harmlessText(t *testing.T, what, text string) {
	t.Helper()
	for line := range strings.Lines(text) {
		for _, r := range strings.TrimSuffix(line, "\n") {
			if !strconv.IsPrint(r) {
				t.Errorf("%s has %q in %q", what, r, line)
				break
			}
		}
		if strings.HasPrefix(line, "qmp-dbus-bridge: forged") {
			t.Errorf("%s has a forged line", what)
		}
	}
}
