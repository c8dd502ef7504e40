package main

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"qmp-dbus-bridge/e2e/bench/figure"
)

const (
	fewClients, fewCalls   = 4, 256 // connections that flood, and calls that each keeps outstanding
	manyClients, manyCalls = 64, 16 // as many calls from many connections

	aloneTime  = 100 * time.Millisecond // of the probe without a flood
	floodTime  = 800 * time.Millisecond // with one; a probe takes some 50 ms then
	floodStart = 150 * time.Millisecond // until it is in full spate
)

// flood measures what one client's calls suffer from others that keep many outstanding, on the raw
// echo service and on the bridge.
type flood struct {
	stage   *stage
	probe   *bus
	clients [manyClients]*bus
	cases   []floodCase
	grown   float64 // the most that the bridge's RSS grew in one flood, MiB
	refused atomic.Int64
}

// floodCase is one service flooded with one kind of calls.
type floodCase struct {
	alone, flooded *figure.Row
	server         *process
	probe          *request
	load           func() *request
	clients, calls int // how many, and how many calls each keeps outstanding
}

func newFlood(s *stage) (f *flood, err error) {
	f = &flood{stage: s}
	f.cases = append(f.cases, floodsOf(s, "", fewClients, fewCalls)...)
	f.cases = append(f.cases, floodsOf(s, fmt.Sprintf(" of %d connections", manyClients), manyClients, manyCalls)...)
	if f.probe, err = dialBus(s.bus); err != nil {
		return nil, err
	}
	for i := range f.clients {
		if f.clients[i], err = dialBus(s.bus); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// floodsOf are the floods from so many connections: of the echo service, and of the bridge with two kinds of calls.
func floodsOf(s *stage, by string, clients, calls int) []floodCase {
	echo := floodCase{
		alone: &figure.Row{Name: "raw echo, before the flood" + by}, server: s.echo,
		probe: rawCall(echoName), load: func() *request { return rawCall(echoName) },
		clients: clients, calls: calls,
	}
	echo.flooded = &figure.Row{Name: "raw echo, flooded" + by, Base: echo.alone}
	ofBridge := func(of string, load func() *request) floodCase {
		alone := &figure.Row{Name: fmt.Sprintf("Get Status, before the flood of %s", of) + by}
		return floodCase{
			alone: alone, server: s.bridge, probe: statusGet(), load: load, clients: clients, calls: calls,
			flooded: &figure.Row{
				Name: fmt.Sprintf("Get Status, flooded with %s", of) + by, Base: alone, Yardstick: echo.flooded,
				Goals: []figure.Goal{{Of: figure.SlowDown, AtMost: 2}},
			},
		}
	}
	return []floodCase{
		echo, ofBridge("Get", statusGet), ofBridge("Call", func() *request { return qmpCall("query-status") }),
	}
}

func (f *flood) rows() (rows []*figure.Row) {
	for _, c := range f.cases {
		rows = append(rows, c.alone, c.flooded)
	}
	return rows
}

func (f *flood) round(int) error {
	for i := range f.cases {
		if err := f.run(&f.cases[i]); err != nil {
			return named(f.cases[i].flooded, err)
		}
	}
	return nil
}

// run measures the probe alone and then in the flood.
func (f *flood) run(c *floodCase) error {
	alone, err := f.probeFor(c.probe, aloneTime)
	if err != nil {
		return err
	}
	before, err := f.stage.bridge.memory()
	if err != nil {
		return err
	}
	var stop atomic.Bool
	var all sync.WaitGroup
	errs := make([]error, c.clients)
	for i, b := range f.clients[:c.clients] {
		all.Go(func() { errs[i] = f.keepOutstanding(b, c, &stop) })
	}
	time.Sleep(floodStart)
	flooded, err := f.probeFor(c.probe, floodTime)
	during, memoryErr := f.stage.bridge.memory()
	stop.Store(true)
	all.Wait()
	f.grown = max(f.grown, during.rss-before.rss)
	c.alone.Add(alone)
	c.flooded.Add(flooded)
	return errors.Join(append(errs, err, memoryErr)...)
}

// probeFor makes calls one at a time for so long.
func (f *flood) probeFor(r *request, d time.Duration) (figure.Sample, error) {
	var latencies []time.Duration
	for end := time.Now().Add(d); time.Now().Before(end); {
		began := time.Now()
		if err := f.probe.call(r); err != nil {
			return figure.Sample{}, err
		}
		latencies = append(latencies, time.Since(began))
	}
	return figure.Summarize(latencies, 0, 0), nil
}

// keepOutstanding is one flooding client. Being refused for a limit is an answer too.
func (f *flood) keepOutstanding(b *bus, c *floodCase, stop *atomic.Bool) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	r := c.load()
	for open := 0; open > 0 || !stop.Load(); open-- {
		for ; open < c.calls && !stop.Load(); open++ {
			if _, err := b.send(r); err != nil {
				return err
			}
		}
		if open == 0 {
			return nil
		}
		if _, err := b.reply(); refused(err) {
			f.refused.Add(1)
		} else if err != nil {
			return err
		}
	}
	return nil
}

// values are what the floods did to the bridge besides.
func (f *flood) values() []figure.Value {
	return []figure.Value{
		{Name: "floods: growth of the bridge's RSS, at most", Reached: f.grown, Unit: "MiB", Goal: &figure.Goal{AtMost: 2}},
		{Name: "floods: calls refused", Reached: float64(f.refused.Load()), Unit: "calls"},
	}
}
