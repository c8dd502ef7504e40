package bridge_test

import (
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
)

// TestMisfits has QEMU answer what its schema does not say: it comes as what it is, the bus
// connection lives on, and the next call is served.
func TestMisfits(t *testing.T) {
	m := newMachine(t, map[string]string{
		"query-qmp-schema": `[{"meta-type":"command","name":"query-it","arg-type":"0","ret-type":"1"},` +
			`{"meta-type":"command","name":"do-it","arg-type":"0","ret-type":"0"},` +
			`{"meta-type":"object","name":"0","members":[]},` +
			`{"meta-type":"object","name":"1","members":[{"name":"size","type":"int"}]},` +
			`{"meta-type":"builtin","name":"int","json-type":"int"}]`,
		"do-it": `{"unasked": [1]}`,
	})
	w, log := serveLogged(t, m)
	c := w.as(admin)
	for _, test := range []struct {
		answer, signature string
	}{
		{`{"size": 1}`, "a{sv}"},
		{`{"size": "large"}`, "a{sv}"},
		{`{"size": 1, "more": null}`, "a{sv}"},
		{`[1, 2]`, "v"},
		{`"text"`, "v"},
		{`18446744073709551615`, "v"},
	} {
		m.answer("query-it", test.answer)
		reply := c.Object(busName, qmpPath).Call("org.qemu.VM1.QMP.QueryIt", 0)
		if reply.Err != nil || dbus.SignatureOf(reply.Body...).String() != test.signature {
			t.Errorf("%s came as %v, %v; want a message of type %s", test.answer, reply.Body, reply.Err, test.signature)
		}
		if _, err := c.execute("query-it"); err != nil {
			t.Errorf("Call, with %s: %v", test.answer, err)
		}
	}
	if reply := c.Object(busName, qmpPath).Call("org.qemu.VM1.QMP.DoIt", 0); reply.Err != nil || len(reply.Body) != 0 {
		t.Errorf("a command without a result: %v, %v", reply.Body, reply.Err)
	}
	// Eleven values so far: five answers by two calls each, and what was not asked for. Each
	// doubling of the count is logged: at 1, 2, 4 and 8.
	lines := log.lines("QEMU sent values that its schema does not have")
	if len(lines) != 4 || !strings.Contains(lines[0], "query-it.size: expected int, got string") {
		t.Errorf("logged: %q, want 4 lines, the first with the place and the types", lines)
	}
}
