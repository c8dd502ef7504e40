package bridge_test

import (
	"testing"

	"qmp-dbus-bridge/qmp/qmptest"
)

// TestMeant has names called that are none: who may is told which was meant, of those that this QEMU has; who may not, of those that
// the bridge knows.
func TestMeant(t *testing.T) {
	m := newMachine(t, map[string]string{
		"query-qmp-schema": schemaOf(t, []string{"query-status", "system_reset", "stop", "of-this-qemu"}, nil),
	})
	for _, name := range []string{"QueryStatus", "query-statuss", "Pause", "OfThisQemu", "nonsense"} {
		m.script(name, func(_ *qmptest.QEMU, r *qmptest.Request) {
			r.Fail("CommandNotFound", "The command "+r.Name+" has not been found")
		})
	}
	w := serve(t, m)
	a, v, s := w.as(admin), w.as(viewer), w.as(stranger)
	const (
		notFound = ourError + "Qmp.CommandNotFound"
		denied   = dbusError + "AccessDenied"
		noMethod = dbusError + "UnknownMethod"
		host     = " (class host): no grant or policy permits it; the bridge knows no such command"
	)
	for _, test := range []struct {
		by         *caller
		method     string
		args       []any
		name, text string
	}{
		{a, "Call", []any{"QueryStatus", none}, notFound, "The command QueryStatus has not been found: did you mean query-status?"},
		{a, "Call", []any{"query-statuss", none}, notFound, "The command query-statuss has not been found: did you mean query-status?"},
		{a, "Call", []any{"Pause", none}, notFound, "The command Pause has not been found: did you mean stop?"},
		{a, "Call", []any{"OfThisQemu", none}, notFound, "The command OfThisQemu has not been found: did you mean of-this-qemu?"},
		{a, "Call", []any{"nonsense", none}, notFound, "The command nonsense has not been found"},
		{a, "CallJson", []any{"QueryStatus", ""}, notFound, "The command QueryStatus has not been found"}, // QEMU's words
		{v, "Call", []any{"QueryStatus", none}, denied, "uid 1 may not do QueryStatus" + host + ": did you mean query-status?"},
		{s, "CallJson", []any{"QueryStatus", ""}, denied, "uid 8 may not do QueryStatus" + host + ": did you mean query-status?"},
		{s, "Call", []any{"OfThisQemu", none}, denied, "uid 8 may not do OfThisQemu" + host},
		{s, "Call", []any{"nonsense", none}, denied, "uid 8 may not do nonsense" + host},
		{s, "Call", []any{"query-status", none}, denied, "uid 8 may not do query-status (class read): no grant or policy permits it"},

		{a, "QueryStatu", nil, noMethod, "org.qemu.VM1.QMP has no method QueryStatu: did you mean QueryStatus?"},
		{v, "system_reset", nil, noMethod, "org.qemu.VM1.QMP has no method system_reset: did you mean SystemReset?"},
		{v, "call", nil, noMethod, "org.qemu.VM1.QMP has no method call: did you mean Call?"},
		{v, "Nonsense", nil, noMethod, "org.qemu.VM1.QMP has no method Nonsense"},
		{v, "Pause", nil, noMethod, "org.qemu.VM1.QMP has no method Pause: it is of org.qemu.VM1 at /org/qemu/VM1"},
		{s, "QueryStatu", nil, denied, "uid 8 may not do introspect (class read): no grant or policy permits it"},
	} {
		_, err := test.by.call(qmpPath, "org.qemu.VM1.QMP."+test.method, test.args...)
		if errorName(err) != test.name || err.Error() != test.text {
			t.Errorf("%s%v = %s: %v, want %s: %s", test.method, test.args, errorName(err), err, test.name, test.text)
		}
	}
}
