package patient

import (
	"fmt"
	"io"
	"sync"
	"time"
)

const (
	maxLines = 1024        // that wait to be written
	patience = time.Second // for the last lines, when nobody reads them
)

// Writer is a writer of lines that never makes who logs wait: a goroutine writes what it
// can, and of what exceeds maxLines the number is told when there is room again.
type Writer struct {
	to      io.Writer
	program string
	lines   chan []byte
	done    chan struct{}

	mu      sync.Mutex // guards what follows, between those who log
	dropped int
	closed  bool
}

// New returns a Writer of lines to to. What it says itself begins with the program's name.
func New(to io.Writer, program string) *Writer {
	w := &Writer{to: to, program: program, lines: make(chan []byte, maxLines), done: make(chan struct{})}
	go w.run()
	return w
}

// run writes lines until Close, and then how many more there would have been. There is no other place
// to tell of an error.
func (w *Writer) run() {
	defer close(w.done)
	for line := range w.lines {
		_, _ = w.to.Write(line)
	}
	if line := w.lastLine(); line != nil {
		_, _ = w.to.Write(line)
	}
}

// lastLine tells of lines that were dropped since the last that was taken; nil if there are none.
func (w *Writer) lastLine() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dropped == 0 {
		return nil
	}
	return w.droppedLine()
}

// Write queues a copy of a line; it never fails.
func (w *Writer) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return len(line), nil
	}
	if w.dropped > 0 && len(w.lines) < maxLines-1 {
		w.lines <- w.droppedLine()
	}
	select {
	case w.lines <- append([]byte(nil), line...):
	default:
		w.dropped++
	}
	return len(line), nil
}

func (w *Writer) droppedLine() []byte {
	line := fmt.Appendf(nil, "%s: %d lines of this log were dropped\n", w.program, w.dropped)
	w.dropped = 0
	return line
}

// Close waits for what is queued, a second at most. The goroutine of a writer that hangs stays
// behind; the process is about to end.
func (w *Writer) Close() error {
	w.mu.Lock()
	if !w.closed {
		w.closed = true
		close(w.lines)
	}
	w.mu.Unlock()
	select {
	case <-w.done:
	case <-time.After(patience):
	}
	return nil
}
