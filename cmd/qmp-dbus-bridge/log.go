package main

import (
	"fmt"
	"io"
	"sync"
	"time"
)

const (
	maxLogLines = 1024        // that wait to be written
	logPatience = time.Second // for the last lines, when nobody reads them
)

// patientLog is a writer of lines that never makes who logs wait: a goroutine writes what it
// can, and what exceeds maxLogLines is dropped and counted. A reader of our standard
// error that stops must not stop the bridge.
type patientLog struct {
	to    io.Writer
	lines chan []byte
	done  chan struct{}

	mu      sync.Mutex // guards what follows, between those who log
	dropped int
	closed  bool
}

func newPatientLog(to io.Writer) *patientLog {
	l := &patientLog{to: to, lines: make(chan []byte, maxLogLines), done: make(chan struct{})}
	go func() {
		defer close(l.done)
		for line := range l.lines {
			_, _ = l.to.Write(line) // there is no other place to tell of it
		}
	}()
	return l
}

// Write queues a line; it never fails.
func (l *patientLog) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return len(line), nil
	}
	if l.dropped > 0 && len(l.lines) < maxLogLines-1 {
		l.lines <- fmt.Appendf(nil, "qmp-dbus-bridge: %d lines of this log were dropped\n", l.dropped)
		l.dropped = 0
	}
	select {
	case l.lines <- append([]byte(nil), line...):
	default:
		l.dropped++
	}
	return len(line), nil
}

// Close waits for what is queued, logPatience at most. The goroutine of a writer that hangs
// stays behind; the process is about to end.
func (l *patientLog) Close() error {
	l.mu.Lock()
	if !l.closed {
		l.closed = true
		close(l.lines)
	}
	l.mu.Unlock()
	select {
	case <-l.done:
	case <-time.After(logPatience):
	}
	return nil
}
