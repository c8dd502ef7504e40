package bridge_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"

	"qmp-dbus-bridge/e2e/rig"
	"qmp-dbus-bridge/qmp"
	"qmp-dbus-bridge/qmp/qmptest"
)

// TestQEMUGoesAndAnotherComes ends QEMU while calls are in flight and wait: all are answered. What
// comes then differs in all, and one PropertiesChanged tells that.
func TestQEMUGoesAndAnotherComes(t *testing.T) {
	m := newMachine(t, nil)
	m.hold("wait", true)
	w := serve(t, m)
	c := w.as(admin)
	changes, events := c.changes(), w.as(admin).watch(dbus.WithMatchInterface(eventsIf))
	const calls = 20
	replies := c.pipeline(calls)
	for range ofASender {
		m.nextHeld()
	}
	m.die()
	for range calls {
		if reply := <-replies; errorName(reply.Err) != ourError+"Disconnected" {
			t.Errorf("a call that QEMU did not answer: %v, want Disconnected", reply.Err)
		}
	}
	gone := map[string]any{"Connected": false, "Running": false, "Status": "", "Machine": "", "Accelerator": ""}
	if diff := cmp.Diff(gone, changed(t, changes)); diff != "" {
		t.Errorf("QEMU went (-want +got):\n%s", diff)
	}
	if name := get[string](c, "Name"); name != "vm7" {
		t.Errorf("Name = %q, want that of the QEMU that went", name)
	}
	if _, err := c.execute("stop"); errorName(err) != ourError+"Disconnected" {
		t.Errorf("a call while there is no QEMU: %v, want Disconnected", err)
	}

	m.answer("query-name", `{"name": "other"}`)
	m.answer("query-uuid", `{"UUID": "00000000-0000-0000-0000-000000000001"}`)
	m.answer("query-target", `{"arch": "aarch64"}`)
	m.answer("query-status", paused)
	m.answer("query-qmp-schema", schemaOf(t, []string{"new-command"}, []string{"DEVICE_DELETED", "ACPI_DEVICE_OST"}))
	m.listen(qmptest.Options{Greeting: strings.NewReplacer(`"major": 7`, `"major": 99`).Replace(qmptest.Greeting)})
	want := map[string]any{
		"Connected": true, "Status": "paused", "Name": "other", "Target": "aarch64", "Version": "99.2.22",
		"UUID": "00000000-0000-0000-0000-000000000001", "Machine": "pc-q35-7.2", "Accelerator": "tcg",
	}
	if diff := cmp.Diff(want, changed(t, changes)); diff != "" {
		t.Errorf("another came (-want +got):\n%s", diff)
	}
	for event, member := range map[string]string{"DEVICE_DELETED": "DeviceDeleted", "STOP": "Other"} {
		m.client().Event(event, "")
		if s := next(t, events); s.Name != eventsIf+"."+member {
			t.Errorf("event %s: signal %s, want %s", event, s.Name, member)
		}
	}
	if list, err := c.call(vmPath, busName+".ListCommands"); err != nil || !cmp.Equal(list, []string{"new-command"}) {
		t.Errorf("ListCommands = %v, %v", list, err)
	}
	m.finish("wait", nil)
	c.answered(c.pipeline(calls))
	unchanged(t, changes)
}

// TestPauseThenEnd has QEMU end right after the answer to stop: it has been executed.
func TestPauseThenEnd(t *testing.T) {
	m := newMachine(t, nil)
	c := serve(t, m).as(admin)
	m.script("stop", func(q *qmptest.QEMU, r *qmptest.Request) {
		r.Return("{}")
		q.Hangup()
	})
	if err := c.vm("Pause"); err != nil {
		t.Errorf("Pause: %v, want success", err)
	}
}

// TestQuitThenEnd has QEMU end in answer to quit, with a reply or without; other commands fail then.
func TestQuitThenEnd(t *testing.T) {
	for _, reply := range []string{"", "{}"} {
		m := newMachine(t, nil)
		m.hold("wait", true)
		w := serve(t, m)
		c, other := w.as(admin), w.as(admin)
		waits := other.pipeline(1)
		m.nextHeld()
		m.script("quit", func(q *qmptest.QEMU, r *qmptest.Request) {
			if reply != "" {
				r.Return(reply)
			}
			q.Hangup()
		})
		if err := c.vm("Quit"); err != nil {
			t.Errorf("Quit: %v, want success", err)
		}
		if err := (<-waits).Err; errorName(err) != ourError+"Disconnected" {
			t.Errorf("what was in flight: %v, want Disconnected", err)
		}
	}
}

// TestOnce has the only connection end: Run does too, with nil if QEMU closed it, else with what
// was wrong.
func TestOnce(t *testing.T) {
	for _, test := range []struct {
		name string
		end  func(*qmptest.QEMU)
		want string
	}{
		{"EOF", (*qmptest.QEMU).Hangup, ""},
		{"garbage", func(q *qmptest.QEMU) { q.Send("garbage\r\n") }, "not QMP"},
		{"half a line", func(q *qmptest.QEMU) {
			q.Send(`{"return": `)
			time.AfterFunc(10*time.Millisecond, q.Hangup)
		}, "unexpected EOF"},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := &machine{tb: t, answers: map[string]string{"query-qmp-schema": "[]"}}
			q, s := qmptest.Start(t, qmptest.Options{}, m.handle)
			w := newWorld(t, func(ctx context.Context, o qmp.Options) (*qmp.Conn, error) { return qmp.Open(ctx, s, o) })
			w.once = true
			w.join()
			w.run()
			if !get[bool](w.as(admin), "Connected") {
				t.Fatal("not connected")
			}
			test.end(q)
			err := wait(t, w.ended)
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("Run: %v, want %q", err, test.want)
			}
		})
	}
}

// TestRunEnds has Run end for reasons other than QEMU.
func TestRunEnds(t *testing.T) {
	t.Run("context", func(t *testing.T) {
		m := newMachine(t, nil)
		w := newWorld(t, m.dial)
		w.join()
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		if err := w.bridge.Run(ctx); err != nil {
			t.Errorf("Run: %v, want nil", err)
		}
		if err := w.bridge.Command(context.Background(), "query-name"); err != nil {
			t.Errorf("Command after Run, before Close: %v", err)
		}
		if err := w.bridge.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if err := w.bridge.Command(context.Background(), "query-name"); !errors.Is(err, qmp.ErrClosed) {
			t.Errorf("Command after Close: %v, want qmp.ErrClosed", err)
		}
	})
	t.Run("bus", func(t *testing.T) {
		w := serve(t, newMachine(t, nil))
		w.bus.Stop()
		if err := wait(t, w.ended); err == nil || !strings.HasPrefix(err.Error(), "the bus has gone: ") {
			t.Errorf("Run: %v, want that the bus has gone", err)
		}
	})
}

func wait(tb testing.TB, ended <-chan error) error {
	tb.Helper()
	select {
	case err := <-ended:
		return err
	case <-time.After(rig.Timeout):
		tb.Fatal("Run did not end")
		return nil
	}
}

// TestCommand runs a command by the bridge's own right.
func TestCommand(t *testing.T) {
	m := newMachine(t, nil)
	w := serve(t, m)
	if err := w.bridge.Command(context.Background(), "system_powerdown"); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"system_powerdown"}, m.commands()); diff != "" {
		t.Errorf("QEMU was told (-want +got):\n%s", diff)
	}
}
