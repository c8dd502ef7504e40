package audit_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"qmp-dbus-bridge/bridge/audit"
)

const capacity = 4096 // records

func open(t *testing.T, destination string) *audit.Trail {
	t.Helper()
	trail, err := audit.Open(destination, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = trail.Close() })
	return trail
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit")
	for round := range 2 { // appended to, not truncated
		trail := open(t, path)
		var writers sync.WaitGroup
		for writer := range 4 {
			writers.Go(func() {
				for i := range 100 {
					if err := trail.Write(audit.Record{Name: fmt.Sprintf(":%d.%d", writer, i)}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		writers.Wait()
		if err := trail.Close(); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if lines := bytes.Count(text, []byte("\n")); lines != 800 {
		t.Errorf("%d lines, want 800", lines)
	}
	for line := range bytes.Lines(text) {
		if !json.Valid(line) || !bytes.HasPrefix(line, []byte(`{"time":"20`)) {
			t.Fatalf("line %q", line)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v, want 0600", info.Mode(), err)
	}
}

func TestFlushedSoon(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit")
	trail := open(t, path)
	for round := 1; round <= 2; round++ {
		if err := trail.Write(audit.Record{Name: ":1.5"}); err != nil {
			t.Fatal(err)
		}
		waitForLines(t, path, round)
	}
}

func waitForLines(t *testing.T, path string, want int) {
	t.Helper()
	for range 500 {
		if text, _ := os.ReadFile(path); bytes.Count(text, []byte("\n")) == want {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%s does not get its %d lines", path, want)
}

// Room for several records is booked for all of them or none.
func TestReserveAll(t *testing.T) {
	trail := open(t, filepath.Join(t.TempDir(), "audit"))
	if err := trail.ReserveAll(capacity - 2); err != nil {
		t.Fatal(err)
	}
	if err := trail.ReserveAll(3); !errors.Is(err, audit.ErrFull) {
		t.Errorf("one too many: %v, want ErrFull", err)
	}
	if err := trail.ReserveAll(2); err != nil {
		t.Errorf("as many as there is room for: %v", err)
	}
	if err := trail.Reserve(); !errors.Is(err, audit.ErrFull) {
		t.Errorf("one more: %v, want ErrFull", err)
	}
}

func TestRefusesDestinations(t *testing.T) {
	dir := t.TempDir()
	link, writable := filepath.Join(dir, "link"), filepath.Join(dir, "writable")
	if err := os.WriteFile(writable, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(writable, link); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(writable, 0o622); err != nil {
		t.Fatal(err)
	}
	for destination, want := range map[string]string{
		"":                          "want stderr",
		link:                        "is a symbolic link",
		writable:                    "lets others write",
		dir:                         "is a directory",
		"/dev/null":                 "not a regular file",
		filepath.Join(dir, "no/no"): "no such file",
	} {
		if _, err := audit.Open(destination, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Open(%q): error %v, want one with %q", destination, err, want)
		}
	}
	if _, err := os.Stat("/run/systemd/journal/socket"); err != nil {
		if _, err := audit.Open("journal", slog.New(slog.DiscardHandler)); err == nil {
			t.Error("journal: no error without a journal")
		}
	}
}

func TestNoDestination(t *testing.T) {
	trail := open(t, "none")
	for range capacity + 1 {
		if err := trail.Write(audit.Record{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := trail.Close(); err != nil {
		t.Error(err)
	}
}

func TestReservationsAreBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit")
	trail := open(t, path)
	for i := range capacity {
		if err := trail.Reserve(); err != nil {
			t.Fatalf("reservation %d: %v", i, err)
		}
	}
	if err := trail.Reserve(); !errors.Is(err, audit.ErrFull) {
		t.Errorf("one more: %v, want ErrFull", err)
	}
	if err := trail.Write(audit.Record{}); !errors.Is(err, audit.ErrFull) || trail.Lost() != 1 {
		t.Errorf("Write: %v, %d lost, want ErrFull, 1", err, trail.Lost())
	}
	for range capacity {
		trail.Commit(audit.Record{})
	}
	waitForLines(t, path, capacity)
	for range 100 { // the places are free a moment after the lines are there
		if trail.Reserve() == nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("no room after all was written")
}

func TestAfterClose(t *testing.T) {
	trail := open(t, filepath.Join(t.TempDir(), "audit"))
	if err := trail.Reserve(); err != nil {
		t.Fatal(err)
	}
	if err := trail.Close(); err != nil {
		t.Error(err)
	}
	trail.Commit(audit.Record{})
	if err := trail.Reserve(); !errors.Is(err, audit.ErrFull) {
		t.Errorf("Reserve: %v, want ErrFull", err)
	}
	if err := trail.Close(); err == nil || trail.Lost() != 1 {
		t.Errorf("second Close: %v, %d lost, want an error, 1", err, trail.Lost())
	}
}

// withStderr runs f with a pipe as standard error and returns the pipe's other end.
func withStderr(t *testing.T) *os.File {
	t.Helper()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr := os.Stderr
	os.Stderr = writer
	t.Cleanup(func() {
		os.Stderr = stderr
		reader.Close()
		writer.Close()
	})
	return reader
}

// While nobody reads the pipe the queue fills up and Reserve refuses; nothing blocks and nothing gets lost.
func TestSlowDestination(t *testing.T) {
	reader := withStderr(t)
	trail := open(t, "stderr")
	written := 0
	for err := error(nil); err == nil; written++ {
		if err = trail.Reserve(); err == nil {
			trail.Commit(audit.Record{Name: ":1.5"})
		} else if !errors.Is(err, audit.ErrFull) {
			t.Fatal(err)
		}
		if written%capacity == 0 {
			time.Sleep(50 * time.Millisecond)
		}
	}
	written--
	if written < capacity || written > 2*capacity {
		t.Errorf("%d records taken, want %d and what the pipe holds", written, capacity)
	}
	lines := make(chan int)
	go func() {
		text, _ := io.ReadAll(reader)
		lines <- bytes.Count(text, []byte("\n"))
	}()
	if err := trail.Close(); err != nil {
		t.Fatal(err)
	}
	os.Stderr.Close()
	if got := <-lines; got != written {
		t.Errorf("%d lines, want %d", got, written)
	}
}

// A destination that fails is tried again, and its error is told with the refusal.
func TestFailingDestination(t *testing.T) {
	reader := withStderr(t)
	reader.Close()
	trail := open(t, "stderr")
	if err := trail.Write(audit.Record{}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond)
	for range capacity - 1 {
		if err := trail.Write(audit.Record{}); err != nil {
			t.Fatal(err)
		}
	}
	err := trail.Reserve()
	if !errors.Is(err, audit.ErrFull) || !strings.Contains(err.Error(), "broken pipe") {
		t.Errorf("Reserve: %v, want ErrFull with broken pipe", err)
	}
	if err := trail.Close(); err == nil || trail.Lost() != capacity {
		t.Errorf("Close: %v, %d lost, want an error, %d", err, trail.Lost(), capacity)
	}
}
