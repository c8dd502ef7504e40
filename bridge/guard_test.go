package bridge_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"

	"qmp-dbus-bridge/e2e/rig"
)

const blockIf = busName + ".Block"

// driveOf is an answer to query-block: a drive whose file has that name and takes so many bytes.
func driveOf(file, actual string) string {
	return `[{"device": "d", "inserted": {"node-name": "n", "drv": "raw", "file": "` + file + `",` +
		`"image": {"virtual-size": 8, "actual-size": ` + actual + `}}}]`
}

// TestGuardedProperties has a viewer, who may not query-block, and an administrator read a drive: only the latter gets what
// that tells of files, by each way of reading.
func TestGuardedProperties(t *testing.T) {
	m := newMachine(t, map[string]string{"query-block": driveOf("/secret", "5")})
	w := serve(t, m)
	const drive = vmPath + "/block/d"
	guarded := map[string]any{"File": "/secret", "ActualSize": uint64(5)}
	for user, sees := range map[rig.User]bool{viewer: false, admin: true} {
		c := w.as(user)
		all, err := c.call(drive, propsIf+".GetAll", blockIf)
		if err != nil {
			t.Fatal(err)
		}
		managed := c.objects()["block/d"]
		for name, want := range guarded {
			v, err := c.call(drive, propsIf+".Get", blockIf, name)
			if sees {
				if err != nil || v.(dbus.Variant).Value() != want {
					t.Errorf("uid %d: Get %s = %v, %v, want %v", user.UID, name, v, err, want)
				}
			} else if errorName(err) != dbusError+"AccessDenied" {
				t.Errorf("uid %d: Get %s: %v, want AccessDenied", user.UID, name, err)
			}
			if got := all.(map[string]dbus.Variant)[name].Value(); (got == want) != sees {
				t.Errorf("uid %d: GetAll has %s = %v", user.UID, name, got)
			}
			if got := managed[name]; (got == want) != sees {
				t.Errorf("uid %d: GetManagedObjects has %s = %v", user.UID, name, got)
			}
		}
		if managed["NodeName"] != "n" {
			t.Errorf("uid %d: GetManagedObjects has %v", user.UID, managed)
		}
	}
}

// TestErrorOfJob has a job fail with an error that names a file, as QEMU tells it and as an event has: all hear that it has failed, and
// why is told only to who may query-jobs.
func TestErrorOfJob(t *testing.T) {
	const why = "Could not create '/secret': No such file or directory"
	for name, fails := range map[string]func(*machine){
		"told by query-jobs": func(m *machine) {
			m.answer("query-jobs", `[{"id": "j", "type": "create", "status": "concluded", "error": "`+why+`"}]`)
			m.status("j", "created", "concluded")
		},
		"kept": func(m *machine) { m.ends("j", why) },
	} {
		t.Run(name, func(t *testing.T) {
			m := withJobs(t)
			w := serve(t, m)
			v, a := w.as(viewer), w.as(admin)
			signals := v.watch(dbus.WithMatchPathNamespace(vmPath))
			fails(m)
			for ended := false; !ended; {
				s := next(t, signals)
				if strings.Contains(fmt.Sprint(s.Body), "secret") {
					t.Errorf("a viewer hears %s%v", s.Name, s.Body)
				}
				ended = s.Name == jobIf+".Completed"
				if ended && s.Body[0] != false {
					t.Errorf("it has ended with %v", s.Body)
				}
			}
			for _, read := range []func() (any, error){
				func() (any, error) { return v.call(at("job/j"), propsIf+".Get", jobIf, "Error") },
				func() (any, error) { return v.call(at("job/j"), propsIf+".GetAll", jobIf) },
				func() (any, error) { return v.objects(), nil },
				func() (any, error) { return v.execute("query-jobs") },
				func() (any, error) { return v.execute("query-block-jobs") },
			} {
				if told, err := read(); strings.Contains(fmt.Sprint(told, err), "secret") {
					t.Errorf("a viewer reads %v, %v", told, err)
				}
			}
			if got := a.job("j", "Error"); got != why {
				t.Errorf("an administrator reads %q", got)
			}
		})
	}
}

// TestGuardedReadsAreRecorded has the decisions on what guards properties in the audit, with the call's own.
func TestGuardedReadsAreRecorded(t *testing.T) {
	m := newMachine(t, map[string]string{"query-block": driveOf("/secret", "5")})
	w := serve(t, m)
	c := w.as(admin)
	c.objects()
	if _, err := c.call(vmPath+"/block/d", propsIf+".GetAll", blockIf); err != nil {
		t.Fatal(err)
	}
	w.as(viewer).objects()
	var actions []string
	for _, r := range w.records(8) {
		actions = append(actions, r.Action)
	}
	slices.Sort(actions)
	want := []string{"query-block", "query-block", "query-chardev", "query-jobs", "query-migrate", "read-properties", "read-properties", "read-properties"}
	if diff := cmp.Diff(want, actions); diff != "" {
		t.Errorf("recorded (-want +got):\n%s", diff)
	}
}

// TestGuardedChanges has all who listen hear that a drive's file is another one, and nobody its name.
func TestGuardedChanges(t *testing.T) {
	m := newMachine(t, map[string]string{"query-block": driveOf("/secret", "5")})
	w := serve(t, m)
	c := w.as(admin)
	signals := c.everything()
	c.objects()
	m.answer("query-block", driveOf("/other", "6"))
	m.client().Event("DEVICE_TRAY_MOVED", "")
	s := next(t, signals)
	for s.Name != propsIf+".PropertiesChanged" { // the event
		s = next(t, signals)
	}
	want := []any{blockIf, map[string]dbus.Variant{}, []string{"File"}}
	if diff := cmp.Diff(want, s.Body); diff != "" {
		t.Errorf("PropertiesChanged (-want +got):\n%s", diff)
	}
	m.answer("query-block", driveOf("/other", "7"))
	m.client().Event("DEVICE_TRAY_MOVED", "") // of which nothing is to be told
	w.sync()
	m.answer("query-block", `[]`)
	m.client().Event("DEVICE_TRAY_MOVED", "")
	told(t, signals, "- block/d")
	m.answer("query-block", driveOf("/secret", "5"))
	m.client().Event("DEVICE_TRAY_MOVED", "")
	told(t, signals, "+ block/d map[Device:d Encrypted:false Format:raw IOStatus: Inserted:true NodeName:n QomPath: ReadOnly:false "+
		"Removable:false TrayOpen:false VirtualSize:8]")
}

// TestAskedWhenRead has what no event tells of asked for when it is read, by who may, and then only.
func TestAskedWhenRead(t *testing.T) {
	m := newMachine(t, map[string]string{"query-block": driveOf("/secret", "5")})
	w := serve(t, m)
	c, v := w.as(admin), w.as(viewer)
	const drive = vmPath + "/block/d"
	get[string](c, "Name")
	m.answer("query-block", driveOf("/secret", "6"))
	before := m.counts()["query-block"]
	for _, read := range []struct {
		by     *caller
		method string
		args   []any
		asks   int
	}{
		{c, propsIf + ".Get", []any{blockIf, "VirtualSize"}, 0},
		{c, propsIf + ".Get", []any{blockIf, "File"}, 0},
		{v, propsIf + ".Get", []any{blockIf, "ActualSize"}, 0},
		{v, propsIf + ".GetAll", []any{blockIf}, 0},
		{c, propsIf + ".Get", []any{blockIf, "ActualSize"}, 1},
		{c, propsIf + ".GetAll", []any{blockIf}, 1},
	} {
		got, _ := read.by.call(drive, read.method, read.args...)
		now := m.counts()["query-block"]
		if now-before != read.asks {
			t.Errorf("%s%q asked %d times, want %d", read.method, read.args, now-before, read.asks)
		}
		before = now
		if value, isValue := got.(dbus.Variant); isValue && read.asks == 1 && value.Value() != uint64(6) {
			t.Errorf("%s%q = %v, want 6", read.method, read.args, value)
		}
	}
}

// TestAskingIsBounded has a caller read what QEMU is asked for while that hangs: no more wait there than a caller's
// commands may.
func TestAskingIsBounded(t *testing.T) {
	m := newMachine(t, map[string]string{"query-block": driveOf("/secret", "5")})
	w := serve(t, m)
	c := w.as(admin)
	get[string](c, "Name")
	m.hold("query-block", true)
	var pending []*dbus.Call
	for range 20 {
		pending = append(pending, c.Object(busName, vmPath+"/block/d").Go(propsIf+".Get", 0, nil, blockIf, "ActualSize"))
	}
	held := m.nextHeld()
	m.noneHeld()
	m.hold("query-block", false)
	m.answer("query-block", driveOf("/secret", "7"))
	held.Return(driveOf("/secret", "7"))
	for _, p := range pending {
		<-p.Done
		if p.Err != nil || p.Body[0].(dbus.Variant).Value() != uint64(7) {
			t.Errorf("ActualSize = %v, %v", p.Body, p.Err)
		}
	}
}
