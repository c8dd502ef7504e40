package socket_test

import (
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/e2e/rig"
)

// TestReaderSleeps has a reader that waits while its peer reads what was sent: nothing comes for it, so it is not to wake.
func TestReaderSleeps(t *testing.T) {
	const messages = 500
	ours, peer := pair(t)
	thread, ended := make(chan int, 1), make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		thread <- unix.Gettid()
		_, _, err := ours.Read(make([]byte, 1))
		ended <- err
	}()
	tid := <-thread
	exchange := func() {
		buf := make([]byte, 100)
		if err := ours.Send(buf, nil); err != nil {
			t.Fatal(err)
		}
		if _, _, err := peer.Read(buf); err != nil {
			t.Fatal(err)
		}
	}
	rig.Eventually(t, "the reader waits", func() bool { return waiting.Match(status(t, tid)) })
	before := switches(t, tid)
	for range messages {
		exchange()
	}
	if woken := switches(t, tid) - before; woken > messages/10 {
		t.Errorf("the reader woke %d times while its peer read %d messages", woken, messages)
	}
	if err := peer.Send([]byte{0}, nil); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

var (
	waiting   = regexp.MustCompile(`(?m)^State:\s*S`)
	voluntary = regexp.MustCompile(`(?m)^voluntary_ctxt_switches:\s*(\d+)$`)
)

// switches tells how often a thread of this process has begun to wait.
func switches(t *testing.T, tid int) int {
	t.Helper()
	count, err := strconv.Atoi(string(voluntary.FindSubmatch(status(t, tid))[1]))
	if err != nil {
		t.Fatal(err)
	}
	return count
}

// status is what proc(5) tells of a thread of this process.
func status(t *testing.T, tid int) []byte {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/status", tid))
	if err != nil {
		t.Fatal(err)
	}
	return status
}
