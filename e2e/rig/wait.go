package rig

import (
	"testing"
	"time"
)

// Timeout is how long anything that a test waits for may take. It is generous:
// reaching it is a failure, and QEMU under TCG on a busy machine is slow.
const Timeout = 60 * time.Second

// pollInterval is how often Eventually looks, for what nobody announces.
const pollInterval = 2 * time.Millisecond

// Eventually looks until cond holds, and fails the test at [Timeout]; what
// says what didn't happen. Use it only where there is nothing to wait on, such as
// a file or a count in /proc.
func Eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.After(Timeout)
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within %v: %s", Timeout, what)
		}
	}
}
