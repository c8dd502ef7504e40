package main

import (
	"time"

	"qmp-dbus-bridge/e2e/bench/figure"
)

// startsPerRound is how often each program is started in a round: of an even number the upper one of the middle would count.
const startsPerRound = 3

// startup measures from exec to the line that says that the service is ready: QMP negotiated,
// the schema read, the bus name owned.
type startup struct {
	stage       *stage
	raw, bridge *figure.Row
}

func newStartup(s *stage) *startup {
	raw := &figure.Row{Name: "raw start"}
	return &startup{s, raw, &figure.Row{
		Name: "start of the bridge", Base: raw,
		Goals: []figure.Goal{{Of: figure.Time, AtMost: 10}},
	}}
}

func (s *startup) rows() []*figure.Row { return []*figure.Row{s.raw, s.bridge} }

func (s *startup) round(int) error {
	var raw, bridge series
	for range startsPerRound {
		const name = "bench.Start"
		err := raw.start(roleReady, s.stage.self, roleStart, s.stage.bus, name, s.stage.monitor(monitorStart))
		if err != nil {
			return named(s.raw, err)
		}
		args := s.stage.bridgeArgs(monitorStart, "--bus", "unix:path="+s.stage.bus, "--bus-name", name)
		if err := bridge.start(bridgeReady, s.stage.options.bridge, args...); err != nil {
			return named(s.bridge, err)
		}
	}
	s.raw.Add(raw.sample())
	s.bridge.Add(bridge.sample())
	return nil
}

// start times one start; the CPU time includes the end of the process.
func (s *series) start(ready, program string, args ...string) error {
	began := time.Now()
	p, _, err := startProcess(ready, program, args...)
	if err != nil {
		return err
	}
	s.latencies = append(s.latencies, time.Since(began))
	p.stop()
	s.cpu += p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()
	return nil
}
