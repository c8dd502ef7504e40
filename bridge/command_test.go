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

// A QEMU with a command that it executes out of band.
const (
	greetingOOB = `{"QMP":{"version":{"qemu":{"micro":0,"minor":0,"major":9},"package":""},"capabilities":["oob"]}}`
	yankSchema  = `[{"meta-type":"command","name":"query-yank","arg-type":"0","ret-type":"0","allow-oob":true},{"meta-type":"object","name":"0","members":[]}]`
)

// TestOutOfBand has a command that QEMU executes out of band pass those that fill its queue.
func TestOutOfBand(t *testing.T) {
	m := newMachine(t, map[string]string{
		"query-yank":       "[]",
		"query-qmp-schema": yankSchema,
	})
	m.die()
	m.listen(qmptest.Options{Greeting: greetingOOB})
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

// TestUrgentLimit has three of one sender and more of all want to pass QEMU's queue: two of a
// sender and eight in all are in flight, and the others follow.
func TestUrgentLimit(t *testing.T) {
	const ofAll, ofOne = 8, 2
	m := newMachine(t, map[string]string{"query-qmp-schema": yankSchema})
	m.die()
	m.listen(qmptest.Options{Greeting: greetingOOB})
	m.hold("query-yank", true)
	w := serve(t, m)
	var waiting []*qmptest.Request
	var replies []chan *dbus.Call
	for range ofAll/ofOne + 1 {
		c, calls := w.as(admin), make(chan *dbus.Call, ofOne+1)
		for range cap(calls) {
			c.Object(busName, qmpPath).Go(call, 0, calls, "query-yank", none)
		}
		replies = append(replies, calls)
		for range min(ofOne, ofAll-len(waiting)) {
			waiting = append(waiting, m.nextHeld())
		}
		m.noneHeld()
	}
	m.finish("query-yank", waiting)
	for _, calls := range replies {
		w.as(admin).answered(calls)
	}
}
