package main

import (
	"errors"
	"time"

	"qmp-dbus-bridge/e2e/bench/figure"
	"qmp-dbus-bridge/schema/wire"
)

const (
	eventsPerRound = 100 // of each row; even, so that the machine runs at the end
	// eventPause lets everybody finish with one event before the next: the bridge asks for
	// the status after each.
	eventPause = 2 * time.Millisecond
)

// events measures how much later a listener on the bus hears of an event than a listener at a raw monitor does, and
// beside it how long a signal takes through the bus. One thread listens, to one of the two at a time, since two that wait
// for the same event take each other's core: how late each hears is counted from QEMU's own timestamp, and what the raw
// listener's median was in the same round is subtracted. Who else would handle the same events is stopped meanwhile.
type events struct {
	stage    *stage
	trigger  *monitor
	commands [2][]byte
	emitter  *bus // of ticks
	tick     *request
	ticks    *bus // who listens to them, and so on
	relayed  *bus
	signals  *bus

	bus, raw, relay, bridge *figure.Row
	status                  *figure.Row
	changed                 [2]*figure.Row // by each of commands
}

func newEvents(s *stage) (e *events, err error) {
	e = &events{
		stage: s, commands: [2][]byte{[]byte(`{"execute":"stop"}`), []byte(`{"execute":"cont"}`)},
		tick: newSignal(tickFace),
		bus:  &figure.Row{Name: "one signal through the bus"},
	}
	e.raw = &figure.Row{Name: "raw STOP/RESUME after QEMU's timestamp"}
	e.relay = &figure.Row{Name: "raw relay: STOP/RESUME signal minus raw event", Base: e.bus}
	e.bridge = &figure.Row{
		Name: "STOP/RESUME signal minus raw event", Base: e.bus,
		Goals: []figure.Goal{{Of: figure.P50, AtMost: 1.5}},
	}
	e.status = &figure.Row{Name: "raw QMP query-status, after STOP/RESUME"}
	e.changed = [2]*figure.Row{
		{
			Name: "PropertiesChanged minus raw STOP", Base: e.status,
			Goals: []figure.Goal{{Of: figure.P50, AtMost: 1.5}},
		},
		{
			Name: "PropertiesChanged minus raw RESUME", Base: e.bus,
			Goals: []figure.Goal{{Of: figure.P50, AtMost: 1.5}},
		},
	}
	if e.trigger, err = dialMonitor(s.monitor(monitorTrigger)); err != nil {
		return nil, err
	}
	for _, b := range []**bus{&e.emitter, &e.ticks, &e.relayed, &e.signals} {
		if *b, err = dialBus(s.bus); err != nil {
			return nil, err
		}
	}
	return e, errors.Join(e.ticks.match(tickFace), e.relayed.match(relayFace), e.signals.match(eventsFace))
}

func (e *events) rows() []*figure.Row {
	return []*figure.Row{e.bus, e.raw, e.relay, e.bridge, e.status, e.changed[0], e.changed[1]}
}

func (e *events) round(number int) error {
	// Made anew, because it stays unread in between.
	raw, err := dialMonitor(e.stage.monitor([]int{monitorBefore, monitorAfter}[number%2]))
	if err != nil {
		return err
	}
	defer raw.close()
	var ticks series
	for range eventsPerRound {
		if err := e.measureTick(&ticks); err != nil {
			return named(e.bus, err)
		}
	}
	e.bus.Add(ticks.sample())
	heard, err := e.measureRaw(raw)
	if err != nil {
		return err
	}
	if err := e.alone(e.relay, e.stage.relay, raw, heard, e.relayed, e.stage.bridge, e.signals); err != nil {
		return err
	}
	if err := e.alone(e.bridge, e.stage.bridge, raw, heard, e.signals, e.stage.relay, e.relayed); err != nil {
		return err
	}
	return e.measureChanges(raw, heard)
}

// measureRaw measures when the raw listener alone hears, and tells the median.
func (e *events) measureRaw(raw *monitor) (time.Duration, error) {
	resume, err := pause(e.stage.relay, e.stage.bridge, e.stage.ownBridge)
	if err != nil {
		return 0, err
	}
	var s series
	err = func() error {
		for i := range eventsPerRound {
			if err := e.measureEvent(i, raw, &s); err != nil {
				return err
			}
		}
		return nil
	}()
	if err := errors.Join(err, resume()); err != nil {
		return 0, named(e.raw, err)
	}
	if err := e.passOver(eventsPerRound, e.signals, e.relayed); err != nil {
		return 0, named(e.raw, err)
	}
	sample := s.sample()
	e.raw.Add(sample)
	return time.Duration(sample.P50 * float64(time.Microsecond)), nil
}

// measureChanges measures how much later than the raw event the properties are announced: those that RESUME tells, and those for
// which the bridge asks QEMU after STOP; and what asking takes a raw client.
func (e *events) measureChanges(raw *monitor, heard time.Duration) error {
	changes, err := dialBus(e.stage.bus)
	if err != nil {
		return err
	}
	defer changes.close()
	if err := changes.matchFrom(bridgeName, propertiesFace); err != nil {
		return err
	}
	resume, err := pause(e.stage.relay, e.stage.ownBridge)
	if err != nil {
		return err
	}
	var asked series
	var changed [2]series
	err = func() error {
		for i := range eventsPerRound {
			which := i % 2
			if err := e.measureSignal(i, raw, heard, changes, &changed[which]); err != nil {
				return named(e.changed[which], err)
			}
			began := time.Now()
			if err := e.trigger.call([]byte(commandStatus)); err != nil {
				return named(e.status, err)
			}
			asked.latencies = append(asked.latencies, time.Since(began))
		}
		return nil
	}()
	if err := errors.Join(err, resume()); err != nil {
		return err
	}
	if err := e.passOver(eventsPerRound, e.signals, e.relayed); err != nil {
		return err
	}
	e.status.Add(asked.sample())
	for which, s := range changed {
		e.changed[which].Add(s.sample())
	}
	return nil
}

// alone measures the signals of one server while the other is stopped, and afterwards
// passes over those that the other still sends.
func (e *events) alone(row *figure.Row, server *process, raw *monitor, heard time.Duration, signals *bus, other *process, late *bus) error {
	resume, err := pause(other, e.stage.ownBridge)
	if err != nil {
		return err
	}
	var s series
	err = s.spend(server, func() error {
		for i := range eventsPerRound {
			if err := e.measureSignal(i, raw, heard, signals, &s); err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(err, resume()); err != nil {
		return named(row, err)
	}
	if err := e.passOver(eventsPerRound, late); err != nil {
		return named(row, err)
	}
	s.wall = 0 // mostly pauses
	row.Add(s.sample())
	return nil
}

// passOver reads so many signals of each.
func (e *events) passOver(count int, all ...*bus) error {
	for range count {
		for _, b := range all {
			if err := b.signal(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (e *events) measureTick(s *series) error {
	began := time.Now()
	if _, err := e.emitter.send(e.tick); err != nil {
		return err
	}
	if err := e.ticks.signal(); err != nil {
		return err
	}
	s.latencies = append(s.latencies, time.Since(began))
	time.Sleep(eventPause)
	return nil
}

// measureEvent measures when a raw listener hears of one event.
func (e *events) measureEvent(i int, raw *monitor, s *series) error {
	if err := e.raise(i); err != nil {
		return err
	}
	line, err := raw.event()
	arrived := time.Now()
	if err != nil {
		return err
	}
	at, err := eventTime(line)
	if err != nil {
		return err
	}
	s.latencies = append(s.latencies, arrived.Sub(at))
	return e.settle()
}

// measureSignal measures how much later than a raw listener the bus's hears of one event. The raw one reads it afterwards, for its
// timestamp.
func (e *events) measureSignal(i int, raw *monitor, heard time.Duration, signals *bus, s *series) error {
	if err := e.raise(i); err != nil {
		return err
	}
	if err := signals.signal(); err != nil {
		return err
	}
	arrived := time.Now()
	line, err := raw.event()
	if err != nil {
		return err
	}
	at, err := eventTime(line)
	if err != nil {
		return err
	}
	s.latencies = append(s.latencies, arrived.Sub(at)-heard)
	return e.settle()
}

// raise has QEMU stop or continue, by turns.
func (e *events) raise(i int) error { return e.trigger.write(e.commands[i%2]) }

// settle reads QEMU's reply to that, and lets everybody finish.
func (e *events) settle() error {
	_, err := e.trigger.reply()
	time.Sleep(eventPause)
	return err
}

// signal reads up to the next signal that somebody other than the bus has sent.
func (b *bus) signal() error {
	for {
		m, err := b.next()
		if err != nil {
			return err
		}
		if m.kind() == wire.Signal && string(m.field(fieldSender)) != driverName {
			return nil
		}
	}
}
