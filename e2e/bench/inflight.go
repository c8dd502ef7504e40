package main

import (
	"fmt"

	"qmp-dbus-bridge/e2e/bench/figure"
)

const (
	outstanding    = 64  // calls in flight
	pipelineSlices = 4   // in each round
	pipelineCalls  = 512 // of each row in each slice
)

// inFlight measures with many calls outstanding.
type inFlight struct{ contenders []flock }

// flock is a row whose calls are outstanding over one or more connections.
type flock struct {
	row    *figure.Row
	server *process
	open   func() []pipeline // made anew for each slice, on connections that stay
}

func (f *inFlight) rows() (rows []*figure.Row) {
	for _, c := range f.contenders {
		rows = append(rows, c.row)
	}
	return rows
}

func (f *inFlight) round(int) error {
	series := make([]series, len(f.contenders))
	for slice := range pipelineSlices {
		for i := range f.contenders {
			i = (i + slice) % len(f.contenders)
			c, s := &f.contenders[i], &series[i]
			err := s.spend(c.server, func() error {
				latencies, err := driveAll(c.open())
				s.latencies = append(s.latencies, latencies...)
				return err
			})
			if err != nil {
				return named(c.row, err)
			}
		}
	}
	for i, c := range f.contenders {
		c.row.Add(series[i].sample())
	}
	return nil
}

func newInFlight(s *stage, c clients, base references) (*inFlight, error) {
	row := func(of string, base *figure.Row, goals ...figure.Goal) *figure.Row {
		return &figure.Row{Name: fmt.Sprintf("%s, %d in flight", of, outstanding), Base: base, Goals: goals}
	}
	one := func(r *request) func() []pipeline {
		return func() []pipeline { return []pipeline{newBusPipeline(c.bus, r)} }
	}
	const many = 8
	buses := make([]*bus, many)
	for i := range buses {
		var err error
		if buses[i], err = dialBus(s.bus); err != nil {
			return nil, err
		}
	}
	qmp, echo := row(base.qmp.Name, nil), row(base.echo.Name, nil)
	goal := figure.Goal{Of: figure.Rate, AtLeast: 0.9}
	return &inFlight{[]flock{
		{qmp, s.vm, func() []pipeline {
			return []pipeline{&monitorPipeline{monitor: c.monitor, command: []byte(commandStatus)}}
		}},
		{echo, s.echo, one(rawCall(echoName))},
		{row(base.forwarder.Name, qmp), s.forwarder, one(rawCall(forwarderName))},
		{row("Get Status", echo), s.bridge, one(statusGet())},
		{row("Call query-status", qmp, goal), s.bridge, one(qmpCall("query-status"))},
		{row(fmt.Sprintf("Call query-status, %d clients", many), qmp, goal), s.bridge, func() (all []pipeline) {
			for _, b := range buses {
				all = append(all, newBusPipeline(b, qmpCall("query-status")))
			}
			return all
		}},
	}}, nil
}
