package bridge_test

import (
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"

	"qmp-dbus-bridge/qmp/qmptest"
)

// maxArguments is the limit of a command's arguments, in bytes of JSON; see command.go.
const maxArguments = 64 << 10

// TestMaxArguments has arguments of the largest size and of one byte more, by every way in.
func TestMaxArguments(t *testing.T) {
	m := newMachine(t, map[string]string{"custom": "{}"})
	c := serve(t, m).as(admin)
	for _, over := range []int{0, 1} {
		text := strings.Repeat("x", maxArguments-len(`{"a":""}`)+over)
		_, byCall := c.call(qmpPath, call, "custom", map[string]dbus.Variant{"a": dbus.MakeVariant(text)})
		_, byJSON := c.call(qmpPath, callJSON, "custom", `{"a": "`+text+`"}`)
		_, typed := c.call(qmpPath, "org.qemu.VM1.QMP.Custom", map[string]dbus.Variant{"a": dbus.MakeVariant(text)})
		for way, err := range map[string]error{"Call": byCall, "CallJson": byJSON, "Custom": typed} {
			if over == 0 && err != nil || over == 1 && errorName(err) != dbusError+"LimitsExceeded" {
				t.Errorf("%s with %d bytes over the limit: %v", way, over, err)
			}
		}
	}
}

// TestOutOfBand has a command that QEMU executes out of band pass those that fill its queue.
func TestOutOfBand(t *testing.T) {
	m := newMachine(t, map[string]string{
		"query-yank":       "[]",
		"query-qmp-schema": `[{"meta-type":"command","name":"query-yank","arg-type":"0","ret-type":"0","allow-oob":true},{"meta-type":"object","name":"0","members":[]}]`,
	})
	m.die()
	m.listen(qmptest.Options{Greeting: `{"QMP":{"version":{"qemu":{"micro":0,"minor":0,"major":9},"package":""},"capabilities":["oob"]}}`})
	m.hold("wait", true)
	w := serve(t, m)
	var waiting []*qmptest.Request
	for _, n := range []int{ofASender, inFlight - ofASender} {
		w.as(admin).pipeline(n)
		for range n {
			waiting = append(waiting, m.nextHeld())
		}
	}
	c := w.as(admin)
	for _, way := range []func() error{
		func() error { _, err := c.execute("query-yank"); return err },
		func() error { _, err := c.call(qmpPath, callJSON, "query-yank", ""); return err },
		func() error { _, err := c.call(qmpPath, "org.qemu.VM1.QMP.QueryYank"); return err },
	} {
		m.script("query-yank", func(_ *qmptest.QEMU, r *qmptest.Request) {
			if !r.OOB {
				t.Errorf("query-yank came in band: %s", r.Line)
			}
			r.Return("[]")
		})
		if err := way(); err != nil {
			t.Error(err)
		}
	}
	m.finish("wait", waiting)
}
