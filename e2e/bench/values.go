package main

import (
	"context"
	"errors"
	"time"

	"qmp-dbus-bridge/e2e/bench/figure"
)

// Memory, in MiB: at most what, and as a first step.
const (
	idleMemory, idleMemoryStep = 8, 10
	loadedMemory               = 10
	sharedMemory               = 5 // PSS
)

// When memory is taken.
const (
	// idleTime is how long the bridge has been ready: it has given back what its start had left, and looked for helpers
	// again, which it does ever after and which maps pages of the program that it had given back.
	idleTime = 4 * time.Second
	// restTime is how long it has not been asked anything: it has given back what a load had left. The next look for
	// helpers, which maps the same pages, may be up to 30 s away, so what is its own tells more than all.
	restTime = 25 * time.Second
)

// pauseFor waits.
func pauseFor(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// idleValues are taken before the bridge has been asked anything.
func idleValues(ctx context.Context, s *stage) ([]figure.Value, error) {
	if err := pauseFor(ctx, idleTime); err != nil {
		return nil, err
	}
	m, err := s.bridge.memory()
	s.idle = m
	return []figure.Value{
		{Name: "idle RSS", Reached: m.rss, Unit: "MiB", Goal: &figure.Goal{AtMost: idleMemory, Step: idleMemoryStep}},
		{Name: "idle RSS: anonymous", Reached: m.anonymous, Unit: "MiB"},
		{Name: "idle RSS: of files", Reached: m.file, Unit: "MiB"},
		{Name: "idle PSS", Reached: m.pss, Unit: "MiB", Goal: &figure.Goal{AtMost: sharedMemory}},
	}, err
}

// finalValues are taken after all rounds: what the bridge holds then is what a load takes, as the collector and the kernel have
// taken nothing back yet.
func finalValues(ctx context.Context, s *stage, parts []part, burstCount int) (values []figure.Value, err error) {
	m, err := s.bridge.memory()
	values = []figure.Value{
		{Name: "RSS after the rounds", Reached: m.rss, Unit: "MiB", Goal: &figure.Goal{AtMost: loadedMemory}},
		{Name: "RSS after the rounds: anonymous", Reached: m.anonymous, Unit: "MiB"},
	}
	for _, p := range parts {
		switch p := p.(type) {
		case *flood:
			values = append(values, p.values()...)
		case *furnished:
			values = append(values, p.values()...)
		case *descriptors:
			more, failed := p.values()
			values, err = append(values, more...), errors.Join(err, failed)
		case *events:
			if burstCount > 0 {
				more, failed := burst(s, p, burstCount)
				values, err = append(values, more...), errors.Join(err, failed)
			}
		}
	}
	if err == nil {
		err = pauseFor(ctx, restTime)
	}
	if err == nil {
		m, err = s.bridge.memory()
	}
	return append(values,
		figure.Value{Name: "RSS at rest after the rounds", Reached: m.rss, Unit: "MiB"},
		figure.Value{Name: "RSS at rest after the rounds: anonymous", Reached: m.anonymous, Unit: "MiB"},
	), err
}
