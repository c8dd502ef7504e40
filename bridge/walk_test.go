package bridge_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/bridge/action"
	"qmp-dbus-bridge/bridge/bus"
	"qmp-dbus-bridge/e2e/rig"
)

// captured are query-qmp-schema as QEMUs have answered it, by file.
func captured(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("../schema/testdata/schemas/*.json")
	if err != nil || len(files) < 3 {
		t.Fatalf("%d captured schemas, %v", len(files), err)
	}
	schemas := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		schemas[filepath.Base(file)] = strings.ReplaceAll(string(text), "\n", " ") // QMP is lines
	}
	return schemas
}

// ofSchema lists the names of one meta-type, "command" or "event".
func ofSchema(t *testing.T, schema, kind string) (names []string) {
	t.Helper()
	var entries []struct {
		Meta string `json:"meta-type"`
		Name string `json:"name"`
	}
	if err := json.Unmarshal([]byte(schema), &entries); err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if entry.Meta == kind {
			names = append(names, entry.Name)
		}
	}
	if len(names) < 10 {
		t.Fatalf("%d of meta-type %s", len(names), kind)
	}
	return names
}

// exported are all methods that introspection shows, with arguments that none of them takes, and
// all signals, as methods; and each property read and set.
func (c *caller) exported() (calls []probe) {
	c.tb.Helper()
	wrong := struct{ A, B byte }{}
	for _, path := range []dbus.ObjectPath{"/", "/org", "/org/qemu", vmPath, qmpPath, qomPath, qomPath + "/machine"} {
		for _, i := range c.introspect(path).Interfaces {
			for _, m := range i.Methods {
				calls = append(calls, probe{path, i.Name + "." + m.Name, []any{wrong}}, probe{path, i.Name + "." + m.Name, nil})
			}
			for _, s := range i.Signals {
				calls = append(calls, probe{path, i.Name + "." + s.Name, nil})
			}
			for _, p := range i.Properties {
				calls = append(calls, probe{path, propsIf + ".Get", []any{i.Name, p.Name}},
					probe{path, propsIf + ".Set", []any{i.Name, p.Name, dbus.MakeVariant("x")}})
			}
			calls = append(calls, probe{path, propsIf + ".GetAll", []any{i.Name}})
		}
	}
	return calls
}

// TestWalkDenied has a stranger call every method of every captured QEMU, call every signal, read and set every
// property: each is denied, by the policy, and recorded; nothing reaches QEMU.
func TestWalkDenied(t *testing.T) {
	for name, schema := range captured(t) {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, map[string]string{"query-qmp-schema": schema})
			w := serve(t, m)
			calls := w.as(admin).exported()
			if n := len(ofSchema(t, schema, "command")); len(calls) < 2*n {
				t.Fatalf("%d calls for %d commands", len(calls), n)
			}
			before := len(w.records(7))
			m.commands() // of looking at QEMU's object tree
			c := w.as(stranger)
			for _, p := range calls {
				if _, err := c.call(p.path, p.method, p.args...); errorName(err) != dbusError+"AccessDenied" {
					t.Errorf("%s %s%v = %v, want AccessDenied", p.path, p.method, p.args, err)
				}
			}
			if got := m.commands(); got != nil {
				t.Errorf("QEMU was told %q, want nothing", got)
			}
			for _, r := range w.records(before + len(calls))[before:] {
				if r.Decision != "deny" || r.Policy != "default-deny" && r.Policy != "quit-stays-with-admin" {
					t.Errorf("record %+v of a call that was denied", r)
				}
			}
		})
	}
}

// TestWalkAllowed has an administrator do the same with arguments that are right or wrong: there is one record
// of a decision for each call, so no method answers without.
func TestWalkAllowed(t *testing.T) {
	m := newMachine(t, nil)
	w := serve(t, m)
	c := w.as(admin)
	calls := append(c.probes("/"), c.exported()...)
	before := len(w.records(12))
	extra := 0 // Subscribe is decided for each event too, and GetManagedObjects for what guards properties: query-block, query-chardev, query-jobs and query-migrate
	for _, p := range calls {
		result, _ := c.call(p.path, p.method, p.args...)
		if fd, ok := result.(dbus.UnixFD); ok { // of OpenQMP
			unix.Close(int(fd))
		}
		if p.method == managerIf+".GetManagedObjects" && len(p.args) == 0 {
			extra += 4
		}
		if p.method == busName+".Subscribe" && len(p.args) == 1 {
			if events, ok := p.args[0].([]string); ok {
				extra += len(events)
			}
		}
	}
	records := w.records(before + len(calls) + extra)[before:]
	if len(records) != len(calls)+extra {
		t.Errorf("%d records of %d calls", len(records), len(calls)+extra)
	}
	for _, r := range records {
		if r.Decision != "allow" || r.Policy != "admin" && r.Policy != "admin-quit" {
			t.Errorf("record %+v of a call that was allowed", r)
		}
	}
}

// TestWalkSignals has QEMU send every event of every captured QEMU, and unknown ones, while a stranger, a viewer and an
// administrator that has asked for all listen: the former two receive those of class read and no
// other. What else the bridge sends is the state that a viewer may read.
func TestWalkSignals(t *testing.T) {
	for name, schema := range captured(t) {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, map[string]string{"query-qmp-schema": schema})
			w := serve(t, m)
			asked := w.as(admin)
			events := ofSchema(t, schema, "event")
			slices.Sort(events)
			if err := asked.vm("Subscribe", events); err != nil {
				t.Fatal(err)
			}
			for _, event := range []string{"stop", "SHUTDOWN ", "NEW_EVENT"} { // nobody can ask for these
				m.client().Event(event, "")
			}
			hear := map[rig.User]<-chan *dbus.Signal{
				admin: asked.watch(), viewer: w.as(viewer).watch(), stranger: w.as(stranger).watch(),
			}
			var public []string
			for _, event := range events {
				m.client().Event(event, "")
				if action.EventClass(event) == action.ClassRead {
					public = append(public, event)
				}
			}
			m.client().Event("RTC_CHANGE", `{"last": 1}`) // of class read; comes to all
			for user, signals := range hear {
				want := public
				if user == admin {
					want = events
				}
				if got := w.eventsUntil(signals, "RTC_CHANGE"); got != len(want) {
					t.Errorf("uid %d received %d events, want %d", user.UID, got, len(want))
				}
			}
			if len(public) == 0 || len(public) == len(events) {
				t.Errorf("%d of %d events are public", len(public), len(events))
			}
		})
	}
}

// TestWalkBus has the private bus's configuration let pass the signals of every interface that has some.
func TestWalkBus(t *testing.T) {
	config, err := bus.Config{Dir: "/run/vm"}.Render()
	if err != nil {
		t.Fatal(err)
	}
	w := serve(t, newMachine(t, furnished(t)))
	w.withHelper()
	c := w.as(admin)
	paths := []dbus.ObjectPath{vmPath, qmpPath}
	for path := range c.objects() {
		paths = append(paths, at(path))
	}
	found := map[string]bool{}
	for _, path := range paths {
		for _, i := range c.introspect(path).Interfaces {
			if rule := `<allow send_type="signal" send_interface="` + i.Name + `"/>`; len(i.Signals) > 0 && !strings.Contains(string(config), rule) {
				t.Errorf("%s has %s, whose signals the bus keeps back", path, i.Name)
			}
			found[i.Name] = len(i.Signals) > 0
		}
	}
	if !found[jobIf] || found[blockIf] {
		t.Errorf("interfaces that have signals: %v", found)
	}
}

// eventsUntil counts the events before the last one, and fails for signals that are none and not of the state.
func (w *world) eventsUntil(signals <-chan *dbus.Signal, last string) (count int) {
	w.tb.Helper()
	for {
		s := next(w.tb, signals)
		data, _ := s.Body[max(len(s.Body)-2, 0)].(map[string]dbus.Variant) // before the time
		switch {
		case len(data) == 1 && data["last"].Value() == int64(1):
			return count
		case strings.HasPrefix(s.Name, eventsIf+"."):
			count++
		case s.Name != propsIf+".PropertiesChanged":
			w.tb.Errorf("signal %s before %s", s.Name, last)
		}
	}
}
