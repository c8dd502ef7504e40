package access_test

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

	"qmp-dbus-bridge/bridge/access"
)

const auditCapacity = 4096 // records

func openAudit(t *testing.T, destination string) *access.Audit {
	t.Helper()
	audit, err := access.OpenAudit(destination)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = audit.Close() })
	return audit
}

func TestAuditFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit")
	for round := range 2 { // appended to, not truncated
		audit := openAudit(t, path)
		var writers sync.WaitGroup
		for writer := range 4 {
			writers.Go(func() {
				for i := range 100 {
					if err := audit.Write(access.Record{Name: fmt.Sprintf(":%d.%d", writer, i)}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		writers.Wait()
		if err := audit.Close(); err != nil {
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

func TestAuditIsFlushedSoon(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit")
	audit := openAudit(t, path)
	for round := 1; round <= 2; round++ {
		if err := audit.Write(access.Record{Name: ":1.5"}); err != nil {
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
func TestAuditReserveAll(t *testing.T) {
	audit := openAudit(t, filepath.Join(t.TempDir(), "audit"))
	if err := audit.ReserveAll(auditCapacity - 2); err != nil {
		t.Fatal(err)
	}
	if err := audit.ReserveAll(3); !errors.Is(err, access.ErrAuditFull) {
		t.Errorf("one too many: %v, want ErrAuditFull", err)
	}
	if err := audit.ReserveAll(2); err != nil {
		t.Errorf("as many as there is room for: %v", err)
	}
	if err := audit.Reserve(); !errors.Is(err, access.ErrAuditFull) {
		t.Errorf("one more: %v, want ErrAuditFull", err)
	}
}

func TestAuditRefusesDestinations(t *testing.T) {
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
		if _, err := access.OpenAudit(destination); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("OpenAudit(%q): error %v, want one with %q", destination, err, want)
		}
	}
	if _, err := os.Stat("/run/systemd/journal/socket"); err != nil {
		if _, err := access.OpenAudit("journal"); err == nil {
			t.Error("journal: no error without a journal")
		}
	}
}

func TestAuditNone(t *testing.T) {
	audit := openAudit(t, "none")
	for range auditCapacity + 1 {
		if err := audit.Write(access.Record{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := audit.Close(); err != nil {
		t.Error(err)
	}
}

func TestReservationsAreBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit")
	audit := openAudit(t, path)
	for i := range auditCapacity {
		if err := audit.Reserve(); err != nil {
			t.Fatalf("reservation %d: %v", i, err)
		}
	}
	if err := audit.Reserve(); !errors.Is(err, access.ErrAuditFull) {
		t.Errorf("one more: %v, want ErrAuditFull", err)
	}
	if err := audit.Write(access.Record{}); !errors.Is(err, access.ErrAuditFull) || audit.Lost() != 1 {
		t.Errorf("Write: %v, %d lost, want ErrAuditFull, 1", err, audit.Lost())
	}
	for range auditCapacity {
		audit.Commit(access.Record{})
	}
	waitForLines(t, path, auditCapacity)
	for range 100 { // the places are free a moment after the lines are there
		if audit.Reserve() == nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("no room after all was written")
}

func TestAuditAfterClose(t *testing.T) {
	audit := openAudit(t, filepath.Join(t.TempDir(), "audit"))
	if err := audit.Reserve(); err != nil {
		t.Fatal(err)
	}
	if err := audit.Close(); err != nil {
		t.Error(err)
	}
	audit.Commit(access.Record{})
	if err := audit.Reserve(); !errors.Is(err, access.ErrAuditFull) {
		t.Errorf("Reserve: %v, want ErrAuditFull", err)
	}
	if err := audit.Close(); err == nil || audit.Lost() != 1 {
		t.Errorf("second Close: %v, %d lost, want an error, 1", err, audit.Lost())
	}
}

// withStderr runs f with a pipe as standard error and returns the pipe's other end.
func withStderr(t *testing.T) *os.File {
	t.Helper()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, logger := os.Stderr, slog.Default()
	os.Stderr = writer
	slog.SetDefault(slog.New(slog.DiscardHandler))
	t.Cleanup(func() {
		os.Stderr = stderr
		slog.SetDefault(logger)
		reader.Close()
		writer.Close()
	})
	return reader
}

// While nobody reads the pipe the queue fills up and Reserve refuses; nothing blocks and nothing gets lost.
func TestAuditOfASlowDestination(t *testing.T) {
	reader := withStderr(t)
	audit := openAudit(t, "stderr")
	written := 0
	for err := error(nil); err == nil; written++ {
		if err = audit.Reserve(); err == nil {
			audit.Commit(access.Record{Name: ":1.5"})
		} else if !errors.Is(err, access.ErrAuditFull) {
			t.Fatal(err)
		}
		if written%auditCapacity == 0 {
			time.Sleep(50 * time.Millisecond)
		}
	}
	written--
	if written < auditCapacity || written > 2*auditCapacity {
		t.Errorf("%d records taken, want %d and what the pipe holds", written, auditCapacity)
	}
	lines := make(chan int)
	go func() {
		text, _ := io.ReadAll(reader)
		lines <- bytes.Count(text, []byte("\n"))
	}()
	if err := audit.Close(); err != nil {
		t.Fatal(err)
	}
	os.Stderr.Close()
	if got := within(t, lines); got != written {
		t.Errorf("%d lines, want %d", got, written)
	}
}

// A destination that fails is tried again, and its error is told with the refusal.
func TestAuditOfAFailingDestination(t *testing.T) {
	reader := withStderr(t)
	reader.Close()
	audit := openAudit(t, "stderr")
	if err := audit.Write(access.Record{}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond)
	for range auditCapacity - 1 {
		if err := audit.Write(access.Record{}); err != nil {
			t.Fatal(err)
		}
	}
	err := audit.Reserve()
	if !errors.Is(err, access.ErrAuditFull) || !strings.Contains(err.Error(), "broken pipe") {
		t.Errorf("Reserve: %v, want ErrAuditFull with broken pipe", err)
	}
	if err := audit.Close(); err == nil || audit.Lost() != auditCapacity {
		t.Errorf("Close: %v, %d lost, want an error, %d", err, audit.Lost(), auditCapacity)
	}
}
