package main

import (
	"fmt"
	"runtime"
	"sync"
	"time"
)

// pipeline is a connection over which calls can be outstanding.
type pipeline interface {
	send() error
	// receive waits for a reply and tells which call it is for, counted from 0.
	receive() (int, error)
}

// monitorPipeline: QEMU answers in order.
type monitorPipeline struct {
	*monitor
	command  []byte
	received int
}

func (p *monitorPipeline) send() error { return p.write(p.command) }

func (p *monitorPipeline) receive() (int, error) {
	_, err := p.reply()
	p.received++
	return p.received - 1, err
}

// busPipeline: replies name the serial of their call.
type busPipeline struct {
	*bus
	call  *request
	first uint32 // serial of call 0
}

func newBusPipeline(b *bus, call *request) *busPipeline { return &busPipeline{b, call, b.serial + 1} }

func (p *busPipeline) send() error {
	_, err := p.bus.send(p.call)
	return err
}

func (p *busPipeline) receive() (int, error) {
	m, err := p.reply()
	if err != nil {
		return 0, err
	}
	return int(m.replySerial() - p.first), nil
}

// drive makes calls with so many outstanding and gives the latency of each.
func drive(p pipeline, calls, depth int) ([]time.Duration, error) {
	began := make([]time.Time, calls)
	latencies := make([]time.Duration, calls)
	for sent, received := 0, 0; received < calls; received++ {
		for ; sent < calls && sent-received < depth; sent++ {
			began[sent] = time.Now()
			if err := p.send(); err != nil {
				return nil, err
			}
		}
		i, err := p.receive()
		if err != nil {
			return nil, err
		}
		if i < 0 || i >= sent || latencies[i] != 0 {
			return nil, fmt.Errorf("a reply to call %d of %d", i, sent)
		}
		latencies[i] = time.Since(began[i])
	}
	return latencies, nil
}

// driveAll shares the calls out to the connections, each with a thread of its own.
func driveAll(over []pipeline) ([]time.Duration, error) {
	if len(over) == 1 {
		return drive(over[0], pipelineCalls, outstanding)
	}
	latencies, errs := make([][]time.Duration, len(over)), make([]error, len(over))
	var all sync.WaitGroup
	for i, p := range over {
		all.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			latencies[i], errs[i] = drive(p, pipelineCalls/len(over), outstanding/len(over))
		})
	}
	all.Wait()
	var together []time.Duration
	for i := range over {
		if errs[i] != nil {
			return nil, errs[i]
		}
		together = append(together, latencies[i]...)
	}
	return together, nil
}
