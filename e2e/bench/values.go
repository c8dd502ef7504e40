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

// idleTime is how long the bridge has been ready when its idle memory is taken.
const idleTime = time.Second

// idleValues are taken before the bridge has been asked anything.
func idleValues(ctx context.Context, s *stage) ([]figure.Value, error) {
	select {
	case <-time.After(idleTime):
	case <-ctx.Done():
		return nil, ctx.Err()
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

// finalValues are taken after all rounds.
func finalValues(s *stage, parts []part, burstCount int) (values []figure.Value, err error) {
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
	return values, err
}
