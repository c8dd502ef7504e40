package main

import (
	"time"

	"qmp-dbus-bridge/e2e/bench/figure"
	"qmp-dbus-bridge/schema/wire"
)

// What the bridge is called on the bus.
const (
	bridgeName = "org.qemu.VM1"
	vmPath     = "/org/qemu/VM1"
	qmpPath    = "/org/qemu/VM1/QMP"
	qmpFace    = "org.qemu.VM1.QMP"
	eventsFace = "org.qemu.VM1.QMP.Events"

	propertiesFace = "org.freedesktop.DBus.Properties"
)

// contender is a row, how one call of it is made, and whose CPU time that costs.
type contender struct {
	row    *figure.Row
	server *process
	call   func() error
}

// interleave measures one call at a time of each contender, in turn.
type interleave struct {
	contenders []contender
	slices     int
	calls      int // of each contender in each slice
}

// warmUp is how many calls of a slice don't count: caches hold what the row before used.
const warmUp = 5

func (in *interleave) rows() (rows []*figure.Row) {
	for _, c := range in.contenders {
		rows = append(rows, c.row)
	}
	return rows
}

func (in *interleave) round(int) error {
	series := make([]series, len(in.contenders))
	for slice := range in.slices {
		for i := range in.contenders {
			i = (i + slice) % len(in.contenders)
			c := &in.contenders[i]
			if err := series[i].take(c.server, in.calls, c.call); err != nil {
				return named(c.row, err)
			}
		}
	}
	for i, c := range in.contenders {
		c.row.Add(series[i].sample())
	}
	return nil
}

// series is what the calls of one row took in one round.
type series struct {
	latencies []time.Duration
	wall, cpu time.Duration
}

func (s *series) sample() figure.Sample { return figure.Summarize(s.latencies, s.wall, s.cpu) }

// take makes and times some calls.
func (s *series) take(server *process, calls int, call func() error) error {
	for range min(warmUp, calls) {
		if err := call(); err != nil {
			return err
		}
	}
	return s.spend(server, func() error {
		for range calls {
			began := time.Now()
			if err := call(); err != nil {
				return err
			}
			s.latencies = append(s.latencies, time.Since(began))
		}
		return nil
	})
}

// spend adds the wall time of work, and the CPU time that it takes the server.
func (s *series) spend(server *process, work func() error) error {
	before, err := server.cpu()
	if err != nil {
		return err
	}
	began := time.Now()
	if err := work(); err != nil {
		return err
	}
	s.wall += time.Since(began)
	after, err := server.cpu()
	s.cpu += after - before
	return err
}

func statusGet() *request {
	return newCall(bridgeName, vmPath, propertiesFace, "Get", "ss", func(e *wire.Encoder) {
		e.String("org.qemu.VM1")
		e.String("Status")
	})
}

func qmpCall(command string) *request {
	return newCall(bridgeName, qmpPath, qmpFace, "Call", "sa{sv}", func(e *wire.Encoder) {
		e.String(command)
		e.OpenArray("{sv}")
		e.CloseArray()
	})
}

// qmpTyped calls the method of a command that needs no arguments.
func qmpTyped(member string) *request {
	return newCall(bridgeName, qmpPath, qmpFace, member, "", nil)
}

func qmpCallJSON(command string) *request {
	return newCall(bridgeName, qmpPath, qmpFace, "CallJson", "ss", func(e *wire.Encoder) {
		e.String(command)
		e.String("")
	})
}

func rawCall(service string) *request {
	return newCall(service, servicePath, serviceFace, "Run", "", nil)
}
