package bridge_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/godbus/dbus/v5"

	"qmp-dbus-bridge/e2e/rig"
	"qmp-dbus-bridge/qmp/qmptest"
)

// logBuffer is a log that can be read while it is written.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// TestQuotedSecrets has QEMU put the secret that it was given into everything that it says then: the caller who gave
// it may hear it again, the audit and the log have none of it.
func TestQuotedSecrets(t *testing.T) {
	const mark = "zSeCrEt"
	secretIn := func(r *qmptest.Request) string {
		var arguments struct{ Password string }
		if err := json.Unmarshal(r.Arguments, &arguments); err != nil {
			t.Error(err)
		}
		return arguments.Password
	}
	m := newMachine(t, map[string]string{
		"query-qmp-schema": `[{"meta-type":"command","name":"set_password","arg-type":"1","ret-type":"0"},` +
			`{"meta-type":"object","name":"0","members":[]},` +
			`{"meta-type":"object","name":"1","members":[{"name":"password","type":"str"}]},` +
			`{"meta-type":"builtin","name":"str","json-type":"string"}]`,
	})
	w, log := serveLogged(t, m)
	c := w.as(admin)
	const enough = 64 // of a kind, since the log tells each time that a count has doubled
	for name, say := range map[string]func(q *qmptest.QEMU, r *qmptest.Request, secret string){
		"description": func(_ *qmptest.QEMU, r *qmptest.Request, secret string) {
			r.Fail("GenericError", "Invalid password '"+secret+"'")
		},
		"class": func(_ *qmptest.QEMU, r *qmptest.Request, secret string) { r.Fail(secret, "x") },
		"reply with another type": func(_ *qmptest.QEMU, r *qmptest.Request, secret string) {
			r.Return(`"` + secret + `"`)
		},
		"reply with another member": func(_ *qmptest.QEMU, r *qmptest.Request, secret string) {
			r.Return(`{"` + secret + `": "` + secret + `"}`)
		},
		"error without id": func(q *qmptest.QEMU, r *qmptest.Request, secret string) {
			q.Send(`{"error": {"class": "` + secret + `", "desc": "` + secret + `"}}` + "\n")
			r.Return("{}")
		},
		"error with another id": func(q *qmptest.QEMU, r *qmptest.Request, secret string) {
			q.Send(`{"id": "` + secret + `", "error": {"class": "GenericError", "desc": "` + secret + `"}}` + "\n")
			r.Return("{}")
		},
		"unknown message": func(q *qmptest.QEMU, r *qmptest.Request, secret string) {
			q.Send(`{"` + secret + `": "` + secret + `"}` + "\n")
			r.Return("{}")
		},
		"event": func(q *qmptest.QEMU, r *qmptest.Request, secret string) {
			q.Event(secret, `{"`+secret+`": `+nested(70)+`}`)
			q.Event("RESET", `{"`+secret+`": `+nested(70)+`}`)
			r.Return("{}")
		},
		"status": func(q *qmptest.QEMU, r *qmptest.Request, secret string) {
			m.script("query-status", func(_ *qmptest.QEMU, r *qmptest.Request) { r.Fail(secret, secret) })
			q.Event("STOP", "")
			r.Return("{}")
		},
		"no JSON": func(q *qmptest.QEMU, _ *qmptest.Request, secret string) {
			q.Send(`{"return": {"` + secret + `": 1, "` + secret + `": 2}, "id": 1}` + "\n")
		},
		"no JSON further in": func(q *qmptest.QEMU, _ *qmptest.Request, secret string) {
			q.Send(`{"return": {"` + secret + `": [` + secret + `]}, "id": 1}` + "\n")
		},
	} {
		m.script("query-status", nil)
		m.script("set_password", func(q *qmptest.QEMU, r *qmptest.Request) { say(q, r, secretIn(r)) })
		for i := range enough {
			password := fmt.Sprintf("%s%dof%s", mark, i, strings.ReplaceAll(name, " ", ""))
			arguments := map[string]dbus.Variant{"password": dbus.MakeVariant(password)}
			c.call(qmpPath, call, "set_password", arguments)
			c.call(qmpPath, "org.qemu.VM1.QMP.SetPassword", arguments)
			if strings.HasPrefix(name, "no JSON") { // which ends the connection
				break
			}
		}
		m.script("query-status", nil)
		rig.Eventually(t, "QEMU is connected", func() bool { return get[bool](c, "Connected") })
	}
	w.sync()
	if text := log.String(); strings.Contains(text, mark) || text == "" {
		t.Errorf("the log:\n%s", text)
	}
	w.records(1)
	text, err := os.ReadFile(w.file)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), mark) {
		t.Errorf("the audit:\n%s", text)
	}
	t.Log(log.String())
}
