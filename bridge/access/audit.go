package access

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

const (
	maxAuditRecords = 4096 // reserved or waiting; some 1 MiB
	maxAuditBatch   = 256  // records handed to the destination at a time
	flushAfter      = 10 * time.Millisecond
	retryAfter      = time.Second // after the destination failed
	closeTimeout    = time.Second // for a write that hangs, to reopen the file or to end
)

// ErrAuditFull says that a decision can't be recorded now, because the destination fails or is slow. What is
// not recorded must not be executed.
var ErrAuditFull = errors.New("audit is full")

// Audit records decisions. Nothing here waits for the destination: a goroutine writes what is queued,
// 10 ms after the first of it. A record that the destination does not take is kept and tried again.
// Safe for concurrent use.
type Audit struct {
	to      sink // nil: none
	wake    chan struct{}
	closing chan struct{}
	done    chan struct{}
	ended   error // of closing the destination; set when done is closed

	mu     sync.Mutex // guards what follows; the queue is filled by all callers
	log    *slog.Logger
	queue  []Record
	spare  []Record // the other buffer, empty
	used   int      // places reserved, queued or being written
	lost   uint64
	failed error // the destination's last error, nil after a success
	closed bool
}

// OpenAudit opens the destination: "stderr" or a file for JSON lines (Record.AppendJSON), "journal" for systemd's
// journal (Record.JournalFields), "none". A file is appended to, made with mode 0600, and refused when it is
// a symbolic link, no regular file, another user's or writable by others.
func OpenAudit(destination string) (*Audit, error) {
	to, err := openSink(destination)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	a := &Audit{
		to:      to,
		log:     slog.Default(),
		wake:    make(chan struct{}, 1),
		closing: make(chan struct{}),
		done:    make(chan struct{}),
	}
	if to == nil {
		close(a.done)
	} else {
		go a.run()
	}
	return a, nil
}

// SetLog has the log be told when the destination begins to fail and when it works again, instead of slog's default.
func (a *Audit) SetLog(log *slog.Logger) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.log = log
}

// Reserve books room for one record. It is called before a command is executed and followed by exactly one
// Commit. The error is ErrAuditFull, with the destination's own error in its text.
func (a *Audit) Reserve() error { return a.ReserveAll(1) }

// ReserveAll books room for n records, or for none of them. It is followed by n Commits.
func (a *Audit) ReserveAll(n int) error {
	if a.to == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.closed:
		return fmt.Errorf("%w: closed", ErrAuditFull)
	case a.used+n > maxAuditRecords && a.failed != nil:
		return fmt.Errorf("%w: %v", ErrAuditFull, a.failed)
	case a.used+n > maxAuditRecords:
		return ErrAuditFull
	}
	a.used += n
	return nil
}

// Commit records the decision that room was reserved for. It neither blocks nor fails.
func (a *Audit) Commit(record Record) {
	if a.to == nil {
		return
	}
	if record.Time.IsZero() {
		record.Time = time.Now()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed { // a command that ended after Close
		a.lost++
		return
	}
	a.queue = append(a.queue, record)
	if len(a.queue) == 1 {
		select {
		case a.wake <- struct{}{}:
		default:
		}
	}
}

// Write is Reserve and Commit for what needs no room beforehand, such as a denial. After ErrAuditFull the record is
// lost and counted.
func (a *Audit) Write(record Record) error {
	if err := a.Reserve(); err != nil {
		a.mu.Lock()
		a.lost++
		a.mu.Unlock()
		return err
	}
	a.Commit(record)
	return nil
}

// Lost is the number of records that could not be kept.
func (a *Audit) Lost() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.lost
}

// Reopen goes on in the file that is at the destination's path now: a program that rotates logs moves the old one
// away first. The file is checked, and made, as by OpenAudit. When Reopen has returned, nothing more is written
// to the old file; each record is in one of the two, once. After an error the old file is used as before.
// Reopen waits a second at most for a write that is under way. It does nothing for other destinations.
func (a *Audit) Reopen() error {
	if a.to == nil {
		return nil
	}
	if err := a.to.reopen(); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return nil
}

// File is the absolute path of the file that the records go to; empty if they go elsewhere.
func (a *Audit) File() string {
	if a.to == nil {
		return ""
	}
	return a.to.filePath()
}

// Close writes what is queued and closes the destination. If the destination does not take the records within a
// second they are lost, and the error says how many. Close may be called again.
func (a *Audit) Close() error {
	a.mu.Lock()
	if !a.closed {
		a.closed = true
		close(a.closing)
	}
	a.mu.Unlock()
	select {
	case <-a.done:
	case <-time.After(closeTimeout): // a write that hangs can't be ended, only left behind
		a.mu.Lock()
		defer a.mu.Unlock()
		return fmt.Errorf("audit: %d records lost: the destination does not take them", a.lost+uint64(a.used))
	}
	var err error
	if lost := a.Lost(); lost > 0 {
		err = fmt.Errorf("audit: %d records lost", lost)
	}
	if a.ended != nil {
		err = errors.Join(err, fmt.Errorf("audit: %w", a.ended))
	}
	return err
}

// run writes batches until Close.
func (a *Audit) run() {
	defer close(a.done)
	for a.waitForRecords() {
		a.flush()
	}
	a.flush()
	a.ended = a.to.close()
}

// waitForRecords returns a little after the first record came, so that a busy bridge writes batches. It is false
// on Close.
func (a *Audit) waitForRecords() bool {
	select {
	case <-a.wake:
	case <-a.closing:
		return false
	}
	return a.sleep(flushAfter)
}

// sleep is false when Close cut it short.
func (a *Audit) sleep(pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-a.closing:
		return false
	}
}

// flush writes all that is queued now.
func (a *Audit) flush() {
	a.mu.Lock()
	records := a.queue
	a.queue, a.spare = a.spare, nil
	a.mu.Unlock()
	for rest := records; len(rest) > 0; {
		batch := rest[:min(len(rest), maxAuditBatch)]
		rest = rest[len(batch):]
		a.put(batch)
	}
	clear(records)
	a.mu.Lock()
	a.spare = records[:0]
	a.mu.Unlock()
}

// put writes one batch, again and again if it has to, and once more on Close. While it does, the queue fills up
// and Reserve refuses.
func (a *Audit) put(batch []Record) {
	err := a.to.put(batch)
	a.noteOutcome(err)
	for open := true; err != nil && open; {
		open = a.sleep(retryAfter)
		err = a.to.put(nil)
		a.noteOutcome(err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.used -= len(batch)
	if err != nil {
		a.lost += uint64(len(batch))
	}
}

// noteOutcome logs when the destination begins to fail and when it works again.
func (a *Audit) noteOutcome(err error) {
	a.mu.Lock()
	before, log := a.failed, a.log
	a.failed = err
	a.mu.Unlock()
	switch {
	case err != nil && before == nil:
		log.Error("audit records are kept back: the destination fails", "error", err)
	case err == nil && before != nil:
		log.Info("the audit's destination works again")
	}
}
