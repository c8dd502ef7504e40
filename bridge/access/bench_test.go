package access_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"qmp-dbus-bridge/bridge/access"
)

// BenchmarkDecide is to stay below 5 us a decision; but for the last, the worst that 100 policies can be: all of
// them are about this caller and any action, and have conditions to evaluate.
func BenchmarkDecide(b *testing.B) {
	for name, policy := range map[string]string{
		"builtin":            "",
		"100 actions":        `permit (principal, action == Action::"x-%[1]d", resource);`,
		"100 groups":         `permit (principal in Group::"%[1]d", action == Action::"query-status", resource);`,
		"100 own conditions": `permit (principal in User::"1001", action, resource) when { principal.uid == %[1]d };`,
	} {
		b.Run(name, func(b *testing.B) {
			var text strings.Builder
			for i := range 100 {
				if policy != "" {
					fmt.Fprintf(&text, policy+"\n", 3000+i)
				}
			}
			rules := newAuthorizer(b, policyFile(b, text.String()))
			groups := []uint32{}
			for i := range uint32(30) {
				groups = append(groups, 5000+i)
			}
			caller := newCaller(b, 1001, groups...)
			b.ReportAllocs()
			for b.Loop() {
				if !rules.Decide(caller, access.Command("query-status"), nil).Allowed() {
					b.Fatal("denied")
				}
			}
		})
	}
}

// BenchmarkFirstDecision includes what is kept with the caller afterwards.
func BenchmarkFirstDecision(b *testing.B) {
	rules := newAuthorizer(b)
	for b.Loop() {
		rules.Decide(newCaller(b, 1001, 1001, 4, 24, 27), access.Command("query-status"), nil)
	}
}

// BenchmarkAuditWrite includes the writing to the file.
func BenchmarkAuditWrite(b *testing.B) {
	path := b.TempDir() + "/audit"
	audit, err := access.OpenAudit(path)
	if err != nil {
		b.Fatal(err)
	}
	defer audit.Close()
	caller := newCaller(b, 1001)
	record := access.Record{Name: ":1.5", Caller: caller, Result: "ok"}
	record.Decision = newAuthorizer(b).Decide(caller, access.Command("query-status"), nil)
	b.ReportAllocs()
	for b.Loop() {
		for audit.Reserve() != nil { // full: the goroutine that writes is behind
			time.Sleep(time.Millisecond)
		}
		audit.Commit(record)
	}
}

func BenchmarkRecordJSON(b *testing.B) {
	caller := newCaller(b, 1001)
	record := access.Record{Name: ":1.5", Caller: caller, Result: "ok"}
	record.Decision = newAuthorizer(b).Decide(caller, access.Command("query-status"), nil)
	var line []byte
	b.ReportAllocs()
	for b.Loop() {
		line = record.AppendJSON(line[:0])
	}
}
