package audit

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

const (
	maxRecords   = 4096 // reserved or waiting; some 1 MiB
	maxBatch     = 256  // records handed to the destination at a time
	flushAfter   = 10 * time.Millisecond
	retryAfter   = time.Second // after the destination failed
	closeTimeout = time.Second // for a write that hangs, to reopen the file or to end
)

// ErrFull says that a decision can't be recorded now, because the destination fails or is slow. What is
// not recorded must not be executed.
var ErrFull = errors.New("audit is full")

// Trail records decisions. Nothing here waits for the destination: a goroutine writes what is queued,
// 10 ms after the first of it. A record that the destination does not take is kept and tried again.
// Safe for concurrent use.
type Trail struct {
	to      sink // nil: none
	log     *slog.Logger
	wake    chan struct{}
	closing chan struct{}
	done    chan struct{}
	ended   error // of closing the destination; set when done is closed

	mu     sync.Mutex // guards what follows; the queue is filled by all callers
	queue  []Record
	spare  []Record // the other buffer, empty
	used   int      // places reserved, queued or being written
	lost   uint64
	failed error // the destination's last error, nil after a success
	closed bool
}

// Open opens the destination: "stderr" or a file for JSON lines (Record.AppendJSON), "journal" for systemd's
// journal (Record.JournalFields), "none". A file is appended to, made with mode 0600, and refused when it is
// a symbolic link, no regular file, another user's or writable by others. The log is told when the destination begins to
// fail and when it works again.
func Open(destination string, log *slog.Logger) (*Trail, error) {
	to, err := openSink(destination)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	t := &Trail{
		to:      to,
		log:     log,
		wake:    make(chan struct{}, 1),
		closing: make(chan struct{}),
		done:    make(chan struct{}),
	}
	if to == nil {
		close(t.done)
	} else {
		go t.run()
	}
	return t, nil
}

// Reserve books room for one record. It is called before a command is executed and followed by exactly one
// Commit. The error is ErrFull, with the destination's own error in its text.
func (t *Trail) Reserve() error { return t.ReserveAll(1) }

// ReserveAll books room for n records, or for none of them. It is followed by n Commits.
func (t *Trail) ReserveAll(n int) error {
	if t.to == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.closed:
		return fmt.Errorf("%w: closed", ErrFull)
	case t.used+n > maxRecords && t.failed != nil:
		return fmt.Errorf("%w: %v", ErrFull, t.failed)
	case t.used+n > maxRecords:
		return ErrFull
	}
	t.used += n
	return nil
}

// Commit records the decision that room was reserved for. It neither blocks nor fails.
func (t *Trail) Commit(record Record) {
	if t.to == nil {
		return
	}
	if record.Time.IsZero() {
		record.Time = time.Now()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed { // a command that ended after Close
		t.lost++
		return
	}
	t.queue = append(t.queue, record)
	if len(t.queue) == 1 {
		select {
		case t.wake <- struct{}{}:
		default:
		}
	}
}

// Write is Reserve and Commit for what needs no room beforehand, such as a denial. After ErrFull the record is
// lost and counted.
func (t *Trail) Write(record Record) error {
	if err := t.Reserve(); err != nil {
		t.mu.Lock()
		t.lost++
		t.mu.Unlock()
		return err
	}
	t.Commit(record)
	return nil
}

// Lost is the number of records that could not be kept.
func (t *Trail) Lost() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.lost
}

// Reopen goes on in the file that is at the destination's path now: a program that rotates logs moves the old one
// away first. The file is checked, and made, as by Open. When Reopen has returned, nothing more is written
// to the old file; each record is in one of the two, once. After an error the old file is used as before.
// Reopen waits a second at most for a write that is under way. It does nothing for other destinations.
func (t *Trail) Reopen() error {
	if t.to == nil {
		return nil
	}
	if err := t.to.reopen(); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return nil
}

// File is the absolute path of the file that the records go to; empty if they go elsewhere.
func (t *Trail) File() string {
	if t.to == nil {
		return ""
	}
	return t.to.filePath()
}

// Close writes what is queued and closes the destination. If the destination does not take the records within a
// second they are lost, and the error says how many. Close may be called again.
func (t *Trail) Close() error {
	t.mu.Lock()
	if !t.closed {
		t.closed = true
		close(t.closing)
	}
	t.mu.Unlock()
	select {
	case <-t.done:
	case <-time.After(closeTimeout): // a write that hangs can't be ended, only left behind
		t.mu.Lock()
		defer t.mu.Unlock()
		return fmt.Errorf("audit: %d records lost: the destination does not take them", t.lost+uint64(t.used))
	}
	var err error
	if lost := t.Lost(); lost > 0 {
		err = fmt.Errorf("audit: %d records lost", lost)
	}
	if t.ended != nil {
		err = errors.Join(err, fmt.Errorf("audit: %w", t.ended))
	}
	return err
}

// run writes batches until Close.
func (t *Trail) run() {
	defer close(t.done)
	for t.waitForRecords() {
		t.flush()
	}
	t.flush()
	t.ended = t.to.close()
}

// waitForRecords returns a little after the first record came, so that a busy bridge writes batches. It is false
// on Close.
func (t *Trail) waitForRecords() bool {
	select {
	case <-t.wake:
	case <-t.closing:
		return false
	}
	return t.sleep(flushAfter)
}

// sleep is false when Close cut it short.
func (t *Trail) sleep(pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-t.closing:
		return false
	}
}

// flush writes all that is queued now.
func (t *Trail) flush() {
	t.mu.Lock()
	records := t.queue
	t.queue, t.spare = t.spare, nil
	t.mu.Unlock()
	for rest := records; len(rest) > 0; {
		batch := rest[:min(len(rest), maxBatch)]
		rest = rest[len(batch):]
		t.put(batch)
	}
	clear(records)
	t.mu.Lock()
	t.spare = records[:0]
	t.mu.Unlock()
}

// put writes one batch, again and again if it has to, and once more on Close. While it does, the queue fills up
// and Reserve refuses.
func (t *Trail) put(batch []Record) {
	err := t.to.put(batch)
	t.noteOutcome(err)
	for open := true; err != nil && open; {
		open = t.sleep(retryAfter)
		err = t.to.put(nil)
		t.noteOutcome(err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.used -= len(batch)
	if err != nil {
		t.lost += uint64(len(batch))
	}
}

// noteOutcome logs when the destination begins to fail and when it works again.
func (t *Trail) noteOutcome(err error) {
	t.mu.Lock()
	before := t.failed
	t.failed = err
	t.mu.Unlock()
	switch {
	case err != nil && before == nil:
		t.log.Error("audit records are kept back: the destination fails", "error", err)
	case err == nil && before != nil:
		t.log.Info("the audit's destination works again")
	}
}
