package goqemu_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	goqmp "github.com/digitalocean/go-qemu/qmp"
	"github.com/google/go-cmp/cmp"

	"qmp-dbus-bridge/qmp"
	"qmp-dbus-bridge/qmp/fdtest"
	"qmp-dbus-bridge/qmp/goqemu"
	"qmp-dbus-bridge/qmp/qmptest"
)

// direct gives a connected monitor of a fake QEMU. At the test's end no file descriptor may be left.
func direct(t testing.TB, handler qmptest.Handler) (*goqemu.Monitor, *qmptest.Listener) {
	t.Helper()
	fdtest.Check(t)
	l := qmptest.Listen(t, qmptest.Options{}, handler)
	m := goqemu.Direct(qmp.Address(l.Path), qmp.Options{})
	connect(t, m)
	return m, l
}

// TestLikeSocketMonitor has go-qemu's SocketMonitor and ours do the same: results, texts of errors and events are the same.
func TestLikeSocketMonitor(t *testing.T) {
	handler := func(q *qmptest.QEMU, r *qmptest.Request) {
		switch r.Name {
		case "device_del":
			r.Fail("DeviceNotFound", "Device '"+string(r.Arguments)+"' not found")
		case "stop":
			q.Event("STOP", "")
			q.Event("EMPTY", "{}")
			q.Event("MANY", `{"text": "ü\ud800", "small": -7, "big": 18446744073709551615, "fraction": 1.5, "null": null}`)
			q.Event("DEEP", `{"list": [true, {"a": []}]}`)
			q.Send(`{"timestamp": {"seconds": -1, "microseconds": -1}, "event": "TIMELESS"}` + "\r\n")
			r.Return("{}")
		default:
			qmptest.Answers{"query-status": `{"status": "running", "running": true}`, "query-x": `["ü", 1]`, "query-null": "null"}.Handle(q, r)
		}
	}
	commands := []string{
		`{"execute":"query-status"}`,
		` { "execute" : "query-x", "id" : "a", "arguments" : { } } `,
		`{"execute":"query-null"}`,
		`{"execute":"device_del","arguments":{"id":"x"}}`,
		`{"execute":"no-such"}`,
		`{"execute":"stop"}`,
	}
	type outcome struct {
		Results []string
		Events  []goqmp.Event
	}
	use := func(m goqmp.Monitor) (o outcome) {
		connect(t, m)
		events, err := m.Events(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() { // SocketMonitor answers nobody before the events are taken
			defer close(done)
			for len(o.Events) < 5 {
				e, _ := receive(t, events)
				o.Events = append(o.Events, e)
			}
		}()
		for _, command := range commands {
			out, err := m.Run([]byte(command))
			o.Results = append(o.Results, fmt.Sprint(string(out), err))
		}
		<-done
		if err := m.Disconnect(); err != nil {
			t.Error(err)
		}
		return o
	}
	fdtest.Check(t)
	l := qmptest.Listen(t, qmptest.Options{}, handler)
	theirs, err := goqmp.NewSocketMonitor("unix", l.Path, patience)
	if err != nil {
		t.Fatal(err)
	}
	want := use(lines{theirs})
	got := use(goqemu.Direct(qmp.Address(l.Path), qmp.Options{}))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("SocketMonitor's and ours (-want +got):\n%s", diff)
	}
}

// lines ends commands for the fake, which reads lines; QEMU doesn't.
type lines struct{ goqmp.Monitor }

func (l lines) Run(command []byte) ([]byte, error) { return l.Monitor.Run(append(command, '\n')) }

// TestCommands has what is given to Run reach QEMU as it should, or not at all.
func TestCommands(t *testing.T) {
	requests := make(chan string, 1)
	m, _ := direct(t, func(_ *qmptest.QEMU, r *qmptest.Request) {
		requests <- r.Line
		r.Return("{}")
	})
	for _, test := range []struct{ command, request, answer string }{
		{`{"execute":"stop"}`, `{"execute":"stop"}`, `{"return": {}}`},
		{`{"execute":"stop","arguments":{}}`, `{"execute":"stop"}`, `{"return": {}}`},
		{
			`{"arguments":{"a": [1.50, "\u00fc"]},"execute":"x","id":{"n": 1}}`,
			`{"execute":"x","arguments":{"a":[1.50,"ü"]}}`, `{"return": {}, "id": {"n": 1}}`,
		},
	} {
		answer, err := m.Run([]byte(test.command))
		if err != nil || string(answer) != test.answer {
			t.Errorf("Run(%s) = %s, %v, want %s", test.command, answer, err, test.answer)
		}
		if request, _ := receive(t, requests); request != test.request {
			t.Errorf("Run(%s) sent %s, want %s", test.command, request, test.request)
		}
	}
	for command, want := range map[string]string{
		``:                                 "EOF",
		`stop`:                             "invalid character",
		`[]`:                               "array",
		`{}`:                               "with execute",
		`{"execute":null}`:                 "with execute",
		`{"execute":1}`:                    "number",
		`{"execute":"a","execute":"b"}`:    "duplicate",
		`{"execute":"a"}{"execute":"b"}`:   "after top-level value",
		`{"exec-oob":"a"}`:                 `"exec-oob"`,
		`{"Execute":"a"}`:                  `"Execute"`,
		`{"execute":"a","arguments":null}`: "a: the arguments are not a JSON object",
		`{"execute":"a","arguments":[]}`:   "a: the arguments are not a JSON object",
		`{"execute":"a","arguments":{"x":1e999}}`:        "a.x: the number is too large",
		`{"execute":"a","arguments":{"x":"\uffff"}}`:     "a.x: ",
		`{"execute":"a","arguments":{"x":1,"x":2}}`:      "duplicate",
		`{"execute":"getfd","arguments":{"fdname":"x"}}`: "No file descriptor supplied",
	} {
		if answer, err := m.Run([]byte(command)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Run(%s) = %s, %v, want an error with %q", command, answer, err, want)
		}
	}
	if len(requests) > 0 {
		t.Errorf("sent %s", <-requests)
	}
}

func TestDirectErrors(t *testing.T) {
	m, l := direct(t, qmptest.Answers{}.Handle)
	_, err := m.Run([]byte(`{"execute":"x"}`))
	if refused, ok := errors.AsType[*qmp.Error](err); !ok || refused.Class != "CommandNotFound" {
		t.Errorf("Run = %#v, want a *qmp.Error", err)
	}
	l.Client().Hangup()
	if _, err := m.Run([]byte(`{"execute":"x"}`)); !errors.Is(err, qmp.ErrClosed) {
		t.Errorf("Run after the end = %v, want qmp.ErrClosed", err)
	}
	if _, err := m.Events(context.Background()); !errors.Is(err, qmp.ErrClosed) {
		t.Errorf("Events after the end = %v, want qmp.ErrClosed", err)
	}
	none := goqemu.Direct(qmp.Address(filepath.Join(t.TempDir(), "none")), qmp.Options{})
	if err := none.Connect(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Connect = %v, want fs.ErrNotExist", err)
	}
}

// TestConnectedOnce goes through what may be called when.
func TestConnectedOnce(t *testing.T) {
	fdtest.Check(t)
	l := qmptest.Listen(t, qmptest.Options{}, qmptest.Answers{"query-name": "{}"}.Handle)
	m := goqemu.Direct(qmp.Address(l.Path), qmp.Options{})
	run := func() error { _, err := m.Run([]byte(`{"execute":"query-name"}`)); return err }
	watch := func() error { _, err := m.Events(context.Background()); return err }
	for i, step := range []struct {
		do   func() error
		want string
	}{
		{run, "call Connect first"},
		{watch, "call Connect first"},
		{m.Disconnect, "<nil>"},
		{m.Connect, "<nil>"},
		{m.Connect, "connected already"},
		{run, "<nil>"},
		{watch, "<nil>"},
		{m.Disconnect, "<nil>"},
		{m.Disconnect, "<nil>"},
		{run, "call Connect first"},
		{m.Connect, "<nil>"},
		{run, "<nil>"},
		{m.Disconnect, "<nil>"},
	} {
		if err := fmt.Sprint(step.do()); !strings.Contains(err, step.want) {
			t.Errorf("step %d: %s, want %s", i, err, step.want)
		}
	}
}

// TestDisconnect ends what waits: commands that QEMU doesn't answer, events that nobody takes.
func TestDisconnect(t *testing.T) {
	arrived := make(chan struct{}, 20)
	m, l := direct(t, func(*qmptest.QEMU, *qmptest.Request) { arrived <- struct{}{} })
	results := make(chan error)
	for range qmp.MaxInBand {
		go func() {
			_, err := m.Run([]byte(`{"execute":"x"}`))
			results <- err
		}()
	}
	for range qmp.MaxInBand {
		receive(t, arrived)
	}
	untaken, idle := events(t, m), events(t, m)
	l.Client().Event("STOP", "")
	event(t, idle)
	if err := m.Disconnect(); err != nil {
		t.Error(err)
	}
	for range qmp.MaxInBand {
		if err, _ := receive(t, results); !errors.Is(err, qmp.ErrClosed) {
			t.Errorf("Run = %v, want qmp.ErrClosed", err)
		}
	}
	ended(t, idle)
	ended(t, untaken)
}

// TestOnEventToo has a program that also wants package qmp's events.
func TestOnEventToo(t *testing.T) {
	l := qmptest.Listen(t, qmptest.Options{}, qmptest.Answers{}.Handle)
	names := make(chan string, 1)
	m := goqemu.Direct(qmp.Address(l.Path), qmp.Options{OnEvent: func(e qmp.Event) { names <- e.Name }})
	connect(t, m)
	l.Client().Event("STOP", "")
	if name, _ := receive(t, names); name != "STOP" {
		t.Errorf("OnEvent got %s, want STOP", name)
	}
}
