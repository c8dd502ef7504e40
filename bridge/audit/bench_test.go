package audit_test

import (
	"log/slog"
	"testing"
	"time"

	"qmp-dbus-bridge/bridge/audit"
)

// BenchmarkCommit includes the writing to the file.
func BenchmarkCommit(b *testing.B) {
	trail, err := audit.Open(b.TempDir()+"/audit", slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	defer trail.Close()
	one := record(b, "", "query-status")
	b.ReportAllocs()
	for b.Loop() {
		for trail.Reserve() != nil { // full: the goroutine that writes is behind
			time.Sleep(time.Millisecond)
		}
		trail.Commit(one)
	}
}

func BenchmarkRecordJSON(b *testing.B) {
	one := record(b, "", "query-status")
	var line []byte
	b.ReportAllocs()
	for b.Loop() {
		line = one.AppendJSON(line[:0])
	}
}
