package bridge_test

import (
	"os"
	"strings"
	"testing"

	"qmp-dbus-bridge/bridge/audit"
)

// TestAuditFull has the audit's destination fail until no record fits any more: calls are
// refused then, also those without effect, and not executed. Who may nothing can't fill the log by it.
func TestAuditFull(t *testing.T) {
	m, log := newMachine(t, nil), new(logBuffer)
	w := newWorld(t, m.dial)
	w.audit, w.log = failingAudit(t), log
	w.join()
	w.run()
	c := w.as(admin)
	if _, err := c.execute("cont"); err != nil { // as long as there is room
		t.Fatal(err)
	}
	for w.audit.Write(audit.Record{}) == nil {
	}
	m.commands()
	for name, call := range map[string]func() error{
		"Call":      func() error { _, err := c.execute("stop"); return err },
		"CallJson":  func() error { _, err := c.call(qmpPath, callJSON, "stop", ""); return err },
		"Pause":     func() error { return c.vm("Pause") },
		"Subscribe": func() error { return c.vm("Subscribe", []string{"VNC_CONNECTED"}) },
		"Get":       func() error { _, err := c.call(vmPath, propsIf+".Get", busName, "Status"); return err },
	} {
		for range inFlight + 1 { // refusals keep no place
			if err := call(); errorName(err) != dbusError+"LimitsExceeded" {
				t.Errorf("%s = %v, want LimitsExceeded", name, err)
			}
		}
	}
	denied := w.as(stranger)
	for range 100 {
		if err := denied.vm("Pause"); errorName(err) != dbusError+"AccessDenied" {
			t.Errorf("a stranger's Pause = %v, want AccessDenied", err)
		}
	}
	lines := log.lines("a denial was not recorded")
	if len(lines) != 7 || !strings.Contains(lines[6], "count=64\n") { // 1, 2, 4, ..., 64
		t.Errorf("the log has %q, want a line whenever the count has doubled", lines)
	}
	if got := m.commands(); got != nil {
		t.Errorf("QEMU was told %q, want nothing", got)
	}
}

// failingAudit writes to a standard error that is a full device.
func failingAudit(t *testing.T) *audit.Trail {
	t.Helper()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { full.Close() })
	stderr := os.Stderr
	os.Stderr = full
	defer func() { os.Stderr = stderr }()
	return openAudit(t, "stderr")
}

// TestAuditTells has calls end in different ways, and looks how they are recorded; arguments
// never are.
func TestAuditTells(t *testing.T) {
	m := newMachine(t, nil)
	w := serve(t, m)
	c := w.as(admin)
	m.answer("deep", nested(64))
	const secret = "5ecret"
	for _, call := range []func(){
		func() { c.call(qmpPath, callJSON, "set_password", `{"password": "`+secret+`"}`) },
		func() { c.call(qmpPath, callJSON, "blockdev-add", `{"`+secret+`": }`) },
		func() { c.execute("deep") },
		func() { c.execute("line\nbreak \x1b[2J") },
		func() { c.arguments(64<<10 + 1) },
		func() { c.call(qmpPath, callJSON, "transaction", `{"actions": [`+strings.Repeat("1,", 128)+`1]}`) },
		func() { c.vm("Subscribe", []string{"STOP"}) },
		func() { c.call(vmPath, propsIf+".Get", busName, secret) },
		func() { c.call("/org/"+secret, busName+".Pause") },
	} {
		call()
	}
	want := []record{
		{Action: "set_password", Decision: "allow", Policy: "admin", Result: "ok"},
		{Action: "blockdev-add", Decision: "allow", Policy: "admin", Result: dbusError + "InvalidArgs"},
		{Action: "deep", Decision: "allow", Policy: "admin", Result: ourError + "LimitsExceeded"},
		{Action: "line\nbreak \x1b[2J", Decision: "allow", Policy: "admin", Result: ourError + "Qmp.CommandNotFound"},
		{Action: "custom", Decision: "allow", Policy: "admin", Result: dbusError + "LimitsExceeded"},
		{Action: "transaction", Decision: "allow", Policy: "admin", Result: dbusError + "LimitsExceeded"},
		{Action: "event:STOP", Decision: "allow", Policy: "admin", Result: "ok"},
		{Action: "subscribe", Decision: "allow", Policy: "admin", Result: "ok"},
		{Action: "read-properties", Decision: "allow", Policy: "admin", Result: dbusError + "UnknownProperty"},
		{Action: "introspect", Decision: "allow", Policy: "admin", Result: dbusError + "UnknownObject"},
	}
	got := w.records(len(want))
	for i := range want {
		want[i].Caller, want[i].UID = c.unique, got[i].UID
		if got[i] != want[i] {
			t.Errorf("record %d = %+v, want %+v", i, got[i], want[i])
		}
	}
	text, err := os.ReadFile(w.file)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), secret) || strings.Contains(string(text), "\x1b") || strings.Count(string(text), "\n") != len(want) {
		t.Errorf("the audit has what it must not:\n%q", text)
	}
}
