package fdpass_test

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/bridge/fdarg"
	"qmp-dbus-bridge/bridge/fdpass"
	"qmp-dbus-bridge/bridge/quota"
	"qmp-dbus-bridge/e2e/rig"
	"qmp-dbus-bridge/qmp"
	"qmp-dbus-bridge/qmp/fdtest"
	"qmp-dbus-bridge/qmp/qmptest"
	"qmp-dbus-bridge/schema"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// qemu is a fake QEMU 7.2 that keeps descriptors, what is known of those that it has from here, and the connection to it.
type qemu struct {
	*testing.T
	*qmptest.Descriptors
	*fdpass.Holdings
	fake    *qmptest.QEMU
	monitor *qmp.Conn
	runs    atomic.Bool // the guest
	held    chan *qmptest.Request
	users   map[string]uint32 // of owners that are no administrators

	mu      sync.Mutex // guards what follows
	told    []string
	answers map[string]string
	scripts map[string]qmptest.Handler
	holds   map[string]bool
}

// newQEMU is one whose guest runs, and that has been reached.
func newQEMU(t *testing.T) *qemu {
	fdtest.Check(t)
	q := &qemu{
		T: t, Descriptors: qmptest.NewDescriptors(), held: make(chan *qmptest.Request, 100),
		answers: map[string]string{"query-named-block-nodes": "[]", "query-jobs": "[]"}, scripts: map[string]qmptest.Handler{}, holds: map[string]bool{},
	}
	for _, command := range qmptest.Keeps {
		q.scripts[command] = q.Descriptors.Handle
	}
	q.runs.Store(true)
	q.Holdings = fdpass.New(q.runs.Load)
	q.connect()
	return q
}

// connect makes a connection, at first or after the end of one.
func (q *qemu) connect() {
	q.Helper()
	fake, socket := qmptest.Start(q, qmptest.Options{}, q.handle)
	monitor, err := qmp.Open(context.Background(), socket, qmp.Options{})
	if err != nil {
		q.Fatal(err)
	}
	q.Cleanup(func() { monitor.Close() })
	q.fake, q.monitor = fake, monitor
	q.Gather(monitor)
}

func (q *qemu) handle(fake *qmptest.QEMU, r *qmptest.Request) {
	q.mu.Lock()
	q.told = append(q.told, strings.TrimSpace(r.Name+" "+string(r.Arguments)))
	script, answer, hold := q.scripts[r.Name], q.answers[r.Name], q.holds[r.Name]
	q.mu.Unlock()
	switch {
	case hold:
		q.held <- r
	case script != nil:
		script(fake, r)
	case answer != "":
		r.Return(answer)
	default:
		r.Return("{}")
	}
}

// answer changes the answer to a command.
func (q *qemu) answer(command, value string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.answers[command] = value
}

// script has handler answer a command.
func (q *qemu) script(command string, handler qmptest.Handler) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.scripts[command] = handler
}

// hold withholds the answers to a command, or ends that: what comes goes to held.
func (q *qemu) hold(command string, on bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.holds[command] = on
}

// nextHeld waits for the next withheld command.
func (q *qemu) nextHeld() *qmptest.Request {
	q.Helper()
	select {
	case r := <-q.held:
		return r
	case <-time.After(rig.Timeout):
		q.Fatal("no command came")
		return nil
	}
}

// What of commands is different each time.
var different = []struct {
	pattern *regexp.Regexp
	stands  string
}{
	{regexp.MustCompile(`b[0-9]+-[A-Z2-7]{26}`), "NAME"},
	{regexp.MustCompile(`\b[12][0-9]{9}\b`), "SET"},
	{regexp.MustCompile(`bridge:[A-Z2-7]{26}`), "TAG"},
}

// wantTold waits until QEMU has been told these commands since the last time that was asked.
func (q *qemu) wantTold(what string, want ...string) {
	q.Helper()
	var got []string
	told := func() bool {
		q.mu.Lock()
		defer q.mu.Unlock()
		got = nil
		for _, text := range q.told {
			for _, d := range different {
				text = d.pattern.ReplaceAllString(text, d.stands)
			}
			got = append(got, text)
		}
		return len(got) >= len(want)
	}
	rig.Eventually(q, what, told)
	if diff := cmp.Diff(want, got); diff != "" {
		q.Errorf("%s, QEMU was told (-want +got):\n%s", what, diff)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.told = nil
}

// wantHas waits until QEMU has so many descriptors.
func (q *qemu) wantHas(names, inSets int) {
	q.Helper()
	rig.Eventually(q, fmt.Sprintf("QEMU has %d names and %d in sets", names, inSets), func() bool {
		n, s := q.Count()
		return n == names && s == inSets
	})
}

// start runs a command of an owner's, who is an administrator unless users tells another uid, and returns what will have become of it. It is
// given copies of fds.
func (q *qemu) start(owner, name, arguments string, placed fdarg.Placed, fds ...int) <-chan qmp.Reply {
	q.Helper()
	command := qmp.Command{Name: name, Arguments: []byte(arguments)}
	uid, isUser := q.users[owner]
	done := make(chan qmp.Reply, 1)
	q.Start(q.monitor, fdpass.Command{
		Command: command, Owner: quota.Claim{Sender: owner, UID: uid, Admin: !isUser}, Serial: 7, Placed: placed, TakeFDs: func() []int { return q.copies(fds) },
	}, func(reply qmp.Reply) {
		if reply.Err == nil {
			q.Executed(q.monitor, command)
		}
		done <- reply
	})
	return done
}

// outcome waits for that.
func (q *qemu) outcome(done <-chan qmp.Reply) error {
	q.Helper()
	select {
	case reply := <-done:
		return reply.Err
	case <-time.After(rig.Timeout):
		q.Fatal("nothing has become of a command")
		return nil
	}
}

// run is start of what passes descriptors of the owner's own, which waits.
func (q *qemu) run(owner, name, arguments string, fds ...int) error {
	q.Helper()
	return q.outcome(q.start(owner, name, arguments, fdarg.Placed{}, fds...))
}

func (q *qemu) copies(fds []int) (copies []int) {
	for _, fd := range fds {
		c, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			q.Error(err)
		}
		copies = append(copies, c)
	}
	return copies
}

// null is a descriptor of a file that is open for reading and writing, until the test ends.
func (q *qemu) null() int {
	q.Helper()
	file, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		q.Fatal(err)
	}
	q.Cleanup(func() { file.Close() })
	return int(file.Fd())
}

// place reads arguments in which FD stands for descriptors, as many as there are.
func (q *qemu) place(command, text string, fds ...int) (arguments string, placed fdarg.Placed) {
	q.Helper()
	var given []schema.Descriptor
	before, after, _ := strings.Cut(text, "FD")
	for i := range fds {
		given = append(given, schema.Descriptor{Start: len(before), Index: uint32(i)})
	}
	placed, err := fdarg.Place(command, []byte(before+`""`+after), given, fds)
	if err != nil {
		q.Fatal(err)
	}
	return string(placed.Decided), placed
}
