package bridge_test

import (
	"cmp"
	"encoding/json"
	"maps"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"qmp-dbus-bridge/bridge/inventory"
	"qmp-dbus-bridge/e2e/rig"
	"qmp-dbus-bridge/qmp/qmptest"
)

// machine is a fake QEMU that remembers what it was told and answers as scripted. What has no
// answer it answers with {}.
type machine struct {
	tb   testing.TB
	path string
	held chan *qmptest.Request // commands that were withheld, as they came

	mu       sync.Mutex // guards what follows
	listener *qmptest.Listener
	holds    map[string]bool
	answers  map[string]string          // by command, or by command with arguments
	scripts  map[string]qmptest.Handler // go before answers
	arrived  []*qmptest.Request         // but what the bridge asks of its own
	all      []string                   // the names of all that came
}

// askTree is the command for which devices are on one bus.
const askTree = `human-monitor-command {"command-line":"info qtree"}`

// own is what the bridge asks of its own accord; see interview and inventory.Queries. A test's callers ask nothing of
// this.
var own = func() map[string]bool {
	names := map[string]bool{
		"query-name": true, "query-uuid": true, "query-target": true, "query-qmp-schema": true, "query-display-options": true,
	}
	for _, q := range inventory.Queries {
		names[line(q.Command, q.Arguments)] = true
	}
	names[askTree] = true
	return names
}()

// isOwn tells whether the bridge asks that of its own accord: of that, for the details of a device, or before a migration.
func isOwn(r *qmptest.Request) bool {
	of := line(r.Name, r.Arguments)
	return own[of] || of == `qom-list {"path":"/objects"}` || strings.HasPrefix(of, `qom-get {"path":"/objects/`) || strings.HasPrefix(of, `qom-get {"path":"/machine/peripheral/`) &&
		(strings.HasSuffix(of, `,"property":"parent_bus"}`) || strings.HasSuffix(of, `,"property":"netdev"}`))
}

// line is a command with its arguments, if any.
func line(name string, arguments []byte) string {
	return strings.TrimSpace(name + " " + string(arguments))
}

const (
	running = `{"status": "running", "singlestep": false, "running": true}`
	paused  = `{"status": "paused", "singlestep": false, "running": false}`
)

// schemaOf is a query-qmp-schema with these commands and events and nothing else.
func schemaOf(tb testing.TB, commands, events []string) string {
	type entry struct {
		Meta string `json:"meta-type"`
		Name string `json:"name"`
	}
	var entries []entry
	for _, name := range commands {
		entries = append(entries, entry{"command", name})
	}
	for _, name := range events {
		entries = append(entries, entry{"event", name})
	}
	text, err := json.Marshal(entries)
	if err != nil {
		tb.Fatal(err)
	}
	return string(text)
}

// newMachine starts one. Answers are added to the usual ones, or replace them.
func newMachine(tb testing.TB, answers map[string]string) *machine {
	m := &machine{
		tb:      tb,
		path:    filepath.Join(rig.TempDir(tb), "qmp"),
		held:    make(chan *qmptest.Request, 10000),
		holds:   map[string]bool{},
		scripts: map[string]qmptest.Handler{},
		answers: map[string]string{
			"query-name":   `{"name": "vm7"}`,
			"query-uuid":   `{"UUID": "6ba7b810-9dad-11d1-80b4-00c04fd430c8"}`,
			"query-target": `{"arch": "x86_64"}`,
			"query-status": running,
			`qom-get {"path":"/machine","property":"type"}`: `"pc-q35-7.2-machine"`,
			`qom-list {"path":"/objects"}`:                  `[]`, `qom-list {"path":"/machine/peripheral"}`: `[]`, "query-block": `[]`, "human-monitor-command": `""`, "query-chardev": `[]`, "query-cpus-fast": `[]`,
			"query-jobs": `[]`, "query-memory-devices": `[]`,
			`qom-list {"path":"/"}`: `[]`, `qom-list {"path":"/machine"}`: `[]`,
			"query-qmp-schema": schemaOf(tb, []string{"query-name", "stop", "quit", "blockdev-add", "custom"},
				[]string{"STOP", "RESUME", "RESET", "VNC_CONNECTED", "BLOCK_IO_ERROR"}),
		},
	}
	maps.Copy(m.answers, answers)
	if m.answers["query-migrate"] == "" { // it can't migrate
		m.scripts["query-migrate"] = func(_ *qmptest.QEMU, r *qmptest.Request) {
			r.Fail("CommandNotFound", "The command query-migrate has not been found")
		}
	}
	m.listen(qmptest.Options{})
	return m
}

// listen starts the machine, at first or again.
func (m *machine) listen(options qmptest.Options) {
	l := qmptest.ListenAt(m.tb, m.path, options, m.handle)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.listener = l
}

// client is the bridge's connection.
func (m *machine) client() *qmptest.QEMU {
	m.mu.Lock()
	l := m.listener
	m.mu.Unlock()
	return l.Client()
}

// die ends the machine as if it had been killed.
func (m *machine) die() {
	m.mu.Lock()
	l := m.listener
	m.mu.Unlock()
	l.Close()
}

// answer changes the answer to a command.
func (m *machine) answer(command, value string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.answers[command] = value
}

// script has handler answer a command.
func (m *machine) script(command string, handler qmptest.Handler) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.scripts[command] = handler
}

// hold withholds the answers to a command, or ends that: what comes goes to held.
func (m *machine) hold(command string, on bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.holds[command] = on
}

// finish answers what was withheld, and withholds nothing more.
func (m *machine) finish(command string, waiting []*qmptest.Request) {
	m.hold(command, false)
	for len(m.held) > 0 {
		waiting = append(waiting, <-m.held)
	}
	for _, r := range waiting {
		r.Return("{}")
	}
}

func (m *machine) handle(q *qmptest.QEMU, r *qmptest.Request) {
	m.mu.Lock()
	m.all = append(m.all, r.Name)
	if !isOwn(r) {
		m.arrived = append(m.arrived, r)
	}
	script, answer := m.scripts[r.Name], cmp.Or(m.answers[line(r.Name, r.Arguments)], m.answers[r.Name])
	hold := m.holds[r.Name]
	if hold {
		m.held <- r
	}
	m.mu.Unlock()
	switch {
	case hold:
	case script != nil:
		script(q, r)
	case answer != "":
		r.Return(answer)
	default:
		r.Return("{}")
	}
}

// commands is what came since the last time that was asked: names, and arguments if any.
func (m *machine) commands() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []string
	for _, r := range m.arrived {
		list = append(list, line(r.Name, r.Arguments))
	}
	m.arrived = nil
	return list
}

// counts is how often each command has come.
func (m *machine) counts() map[string]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	counts := map[string]int{}
	for _, name := range m.all {
		counts[name]++
	}
	return counts
}

// nextHeld waits for the next withheld command.
func (m *machine) nextHeld() *qmptest.Request {
	m.tb.Helper()
	select {
	case r := <-m.held:
		return r
	case <-time.After(rig.Timeout):
		m.tb.Fatal("no command came")
		return nil
	}
}

// noneHeld fails if another command comes in the time that several would take.
func (m *machine) noneHeld() {
	m.tb.Helper()
	select {
	case r := <-m.held:
		m.tb.Fatalf("%s came, want nothing more", r.Line)
	case <-time.After(50 * time.Millisecond):
	}
}
