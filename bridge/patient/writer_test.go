package patient_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"qmp-dbus-bridge/bridge/patient"
)

// reader takes lines when it is let.
type reader struct {
	let  chan struct{} // closed: all
	text strings.Builder
}

func (r *reader) Write(p []byte) (int, error) {
	<-r.let
	return r.text.Write(p)
}

const maxLines = 1024

// TestLimit has nobody read while so many lines come that all wait, and one more. How many were dropped is told before
// the next line, or at the end.
func TestLimit(t *testing.T) {
	for i := range 6 {
		over, next := i/2, []string{"", "more\n"}[i%2]
		synctest.Test(t, func(t *testing.T) {
			r := &reader{let: make(chan struct{})}
			w := patient.New(r, "bridge")
			const writing = 1 // which the reader holds up
			for i := range writing + maxLines + over {
				if n, err := fmt.Fprintf(w, "line %d\n", i); n == 0 || err != nil {
					t.Fatal(n, err)
				}
				synctest.Wait()
			}
			close(r.let)
			synctest.Wait()
			if next != "" {
				fmt.Fprint(w, next)
			}
			w.Close()
			var want strings.Builder
			for i := range writing + maxLines {
				fmt.Fprintf(&want, "line %d\n", i)
			}
			if over > 0 {
				fmt.Fprintf(&want, "bridge: %d lines of this log were dropped\n", over)
			}
			want.WriteString(next)
			if got := r.text.String(); got != want.String() {
				t.Errorf("with %d past the limit and then %q, it ends with %q", over, next, got[max(0, len(got)-100):])
			}
		})
	}
}

// TestClose waits a second for a reader that does not read, and no time for one that does.
func TestClose(t *testing.T) {
	for reads, want := range map[bool]time.Duration{true: 0, false: time.Second} {
		synctest.Test(t, func(t *testing.T) {
			r := &reader{let: make(chan struct{})}
			if reads {
				close(r.let)
			}
			w := patient.New(r, "bridge")
			fmt.Fprintln(w, "last words")
			began := time.Now()
			w.Close()
			if took := time.Since(began); took != want {
				t.Errorf("reads %v: Close took %v, want %v", reads, took, want)
			}
			if n, err := fmt.Fprintln(w, "too late"); n == 0 || err != nil {
				t.Error(n, err)
			}
			w.Close()
			if !reads {
				close(r.let)
			}
		})
	}
}
