package bridge_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(counted{m}) }

// counted fails when the tests leave file descriptors open.
type counted struct{ *testing.M }

func (c counted) Run() int {
	openPoller()
	before := openFDs()
	status := c.M.Run()
	for deadline := time.Now().Add(5 * time.Second); openFDs() > before && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond) // godbus closes on goroutines of its own
	}
	if after := openFDs(); after > before {
		fmt.Fprintf(os.Stderr, "%d file descriptors are open, %d were before the tests\n", after, before)
		return max(status, 1)
	}
	return status
}

// openPoller has the runtime open what it keeps for good.
func openPoller() {
	r, w, err := os.Pipe()
	if err != nil {
		panic(err)
	}
	r.Close()
	w.Close()
}

func openFDs() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		panic(err)
	}
	return len(entries)
}
