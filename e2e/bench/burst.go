package main

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"qmp-dbus-bridge/e2e/bench/figure"
	"qmp-dbus-bridge/schema/wire"
)

// burstDepth is how many commands wait in QEMU: as many as its queue holds.
const burstDepth = 8

// arrivals is what a listener got.
type arrivals struct {
	count     int
	announced uint64 // lost, as the bridge says
	last      time.Time
}

// burst has QEMU stop and continue as fast as it can and counts the signals.
func burst(s *stage, e *events, count int) ([]figure.Value, error) {
	raw, err := dialMonitor(s.monitor(monitorAfter))
	if err != nil {
		return nil, err
	}
	defer raw.close()
	if _, err := pause(s.relay, s.ownBridge); err != nil { // for good: it is the last that is measured
		return nil, err
	}
	var events, signals arrivals
	var all sync.WaitGroup
	all.Go(func() { events = countEvents(raw, count) })
	all.Go(func() { signals = countSignals(e.signals, count) })
	p := &burstPipeline{monitorPipeline{monitor: e.trigger}, e.commands, 0}
	began := time.Now()
	_, err = drive(p, count, burstDepth)
	took := time.Since(began)
	all.Wait() // at the latest when nothing comes any more
	if err != nil {
		return nil, fmt.Errorf("burst: %w", err)
	}
	if events.count != count {
		return nil, fmt.Errorf("burst: %d of %d raw events", events.count, count)
	}
	if signals.count == 0 {
		return nil, errors.New("burst: no signal came")
	}
	late := signals.last.Sub(events.last)
	return []figure.Value{
		{Name: fmt.Sprintf("burst of %d events: raised", count), Reached: float64(count) / took.Seconds(), Unit: "per s"},
		{Name: "burst: lost", Reached: float64(count - signals.count), Unit: "events", Goal: &figure.Goal{}},
		{Name: "burst: lost and announced", Reached: float64(signals.announced), Unit: "events"},
		{Name: "burst: last signal after last raw event", Reached: late.Seconds() * 1e3, Unit: "ms", Goal: &figure.Goal{AtMost: 100}},
	}, nil
}

// burstPipeline sends stop and cont in turn.
type burstPipeline struct {
	monitorPipeline
	commands [2][]byte
	sent     int
}

func (p *burstPipeline) send() error {
	p.sent++
	return p.write(p.commands[(p.sent-1)%2])
}

// countEvents counts until all have come, or none comes for answerTimeout.
func countEvents(m *monitor, want int) (a arrivals) {
	for a.count < want {
		if _, err := m.event(); err != nil {
			return a
		}
		a.count++
		a.last = time.Now()
	}
	return a
}

// countSignals likewise, where lost ones that were announced count as come.
func countSignals(b *bus, want int) (a arrivals) {
	for a.count+int(a.announced) < want {
		m, err := b.next()
		if err != nil {
			return a
		}
		switch member := string(m.field(fieldMember)); {
		case m.kind() != wire.Signal:
		case member == "Lost":
			a.announced += lostCount(m)
		case member == "Stop", member == "Resume":
			a.count++
			a.last = time.Now()
		}
	}
	return a
}

// lostCount reads the only argument of Lost.
func lostCount(m message) uint64 {
	parsed, err := wire.ParseMessage(m)
	if err != nil {
		return 0
	}
	d := parsed.Decoder()
	return d.Uint64()
}
