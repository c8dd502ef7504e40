package main

import (
	"fmt"

	"qmp-dbus-bridge/e2e/bench/figure"
)

// clients are the raw connections that the calls are made over.
type clients struct {
	monitor *monitor
	bus     *bus
	ownBus  *bus
}

func newClients(s *stage) (c clients, err error) {
	if c.monitor, err = dialMonitor(s.monitor(monitorRaw)); err != nil {
		return c, err
	}
	if c.bus, err = dialBus(s.bus); err != nil {
		return c, err
	}
	c.ownBus, err = dialBus(s.ownBus)
	return c, err
}

// over makes the function that makes one prepared call over a connection.
func over(b *bus, r *request) func() error {
	return func() error { return b.call(r) }
}

// references are the rows that others are compared with.
type references struct{ qmp, echo, forwarder *figure.Row }

// The goals of the two kinds of small calls.
var (
	getGoals  = []figure.Goal{{Of: figure.P50, AtMost: 1.05, Step: 1.15}, {Of: figure.CPU, AtMost: 50}}
	callGoals = []figure.Goal{
		{Of: figure.P50, AtMost: 1.10, Step: 1.2}, {Of: figure.P99, AtMost: 1.5}, {Of: figure.CPU, AtMost: 100},
	}
)

// newCalls measures small calls, one at a time.
func newCalls(s *stage, c clients) (*interleave, references) {
	base := references{
		qmp:       &figure.Row{Name: "raw QMP query-status"},
		echo:      &figure.Row{Name: "raw echo"},
		forwarder: &figure.Row{Name: "raw forwarder"},
	}
	status := []byte(commandStatus)
	byName := &figure.Row{Name: "Call query-status", Base: base.forwarder, Goals: callGoals}
	return &interleave{slices: 10, calls: 150, contenders: []contender{
		{base.qmp, s.vm, func() error { return c.monitor.call(status) }},
		{base.echo, s.echo, over(c.bus, rawCall(echoName))},
		{base.forwarder, s.forwarder, over(c.bus, rawCall(forwarderName))},
		{&figure.Row{Name: "Get Status", Base: base.echo, Goals: getGoals}, s.bridge, over(c.bus, statusGet())},
		{byName, s.bridge, over(c.bus, qmpCall("query-status"))},
		{
			&figure.Row{Name: "QueryStatus, beside Call", Base: byName, Goals: []figure.Goal{{Of: figure.P50, AtMost: 1.05}}},
			s.bridge, over(c.bus, qmpTyped("QueryStatus")),
		},
		{&figure.Row{Name: "CallJson query-status", Base: base.forwarder}, s.bridge, over(c.bus, qmpCallJSON("query-status"))},
		{&figure.Row{Name: "Get Status, bridge's own bus", Base: base.echo}, s.ownBridge, over(c.ownBus, statusGet())},
		{
			&figure.Row{Name: "Call query-status, bridge's own bus", Base: base.forwarder},
			s.ownBridge, over(c.ownBus, qmpCall("query-status")),
		},
	}}, base
}

// newLarge measures the largest reply that there is, one at a time. What the bridge can reach at
// best is the raw forwarder: it reads the reply and writes a prepared message, without a look at
// either. QEMU writes all of its reply at once (207 000 bytes in one read, 7.2.22), so nothing can
// be done with the beginning of it while the rest is on its way, and the header of a message says how long
// it is, so nothing can be sent before all is known.
func newLarge(s *stage, c clients) (*interleave, error) {
	schema := []byte(commandSchema)
	forwarding, err := dialMonitor(s.monitor(monitorLarge))
	if err != nil {
		return nil, err
	}
	only, err := newMirror(s.bus, c.bus, qmpTyped("QueryQmpSchema"), "bench.Mirror", func() error { return nil })
	if err != nil {
		return nil, err
	}
	forwarder, err := newMirror(s.bus, c.bus, qmpTyped("QueryQmpSchema"), "bench.Large", func() error { return forwarding.call(schema) })
	if err != nil {
		return nil, err
	}
	raw := &figure.Row{Name: "raw QMP query-qmp-schema"}
	return &interleave{slices: 5, calls: 3, contenders: []contender{
		{raw, s.vm, func() error { return c.monitor.call(schema) }},
		{&figure.Row{Name: "only the bus, for the reply of QueryQmpSchema", Base: raw}, s.daemon, over(c.bus, only)},
		{&figure.Row{Name: "raw forwarder of the reply of QueryQmpSchema", Base: raw}, s.vm, over(c.bus, forwarder)},
		{&figure.Row{Name: "QueryQmpSchema", Base: raw, Goals: []figure.Goal{
			{Of: figure.P50, AtMost: 1.10, Step: 1.15},
		}}, s.bridge, over(c.bus, qmpTyped("QueryQmpSchema"))},
		{&figure.Row{Name: "Call query-qmp-schema", Base: raw}, s.bridge, over(c.bus, qmpCall("query-qmp-schema"))},
		{&figure.Row{Name: "CallJson query-qmp-schema", Base: raw}, s.bridge, over(c.bus, qmpCallJSON("query-qmp-schema"))},
	}}, nil
}

// named tells for which row an error came.
func named(r *figure.Row, err error) error { return fmt.Errorf("%s: %w", r.Name, err) }
