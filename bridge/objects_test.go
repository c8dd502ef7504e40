package bridge_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"

	"qmp-dbus-bridge/bridge/inventory"
	"qmp-dbus-bridge/e2e/rig"
	"qmp-dbus-bridge/qmp/qmptest"
)

const managerIf = "org.freedesktop.DBus.ObjectManager"

// furnished are the answers of a real QEMU with devices of each kind.
func furnished(tb testing.TB) map[string]string {
	tb.Helper()
	answers := map[string]string{}
	for _, q := range inventory.Queries {
		text, err := os.ReadFile(filepath.Join("inventory/testdata/7.2", q.Command+".json"))
		if err != nil {
			tb.Fatal(err)
		}
		answers[line(q.Command, q.Arguments)] = strings.TrimSpace(string(text))
	}
	text, err := os.ReadFile("inventory/testdata/7.2/details.json")
	if err != nil {
		tb.Fatal(err)
	}
	var details map[string]string
	if err := json.Unmarshal(text, &details); err != nil {
		tb.Fatal(err)
	}
	for of, value := range details {
		path, property, _ := strings.Cut(of, " ")
		answers[fmt.Sprintf(`qom-get {"path":%q,"property":%q}`, path, property)] = fmt.Sprintf("%q", value)
	}
	return answers
}

// objects are those below the VM's, with the properties of the interface that is theirs alone.
func (c *caller) objects() map[string]map[string]any {
	c.tb.Helper()
	managed, err := c.call(vmPath, managerIf+".GetManagedObjects")
	if err != nil {
		c.tb.Fatal(err)
	}
	all := map[string]map[string]any{}
	for path, interfaces := range managed.(map[dbus.ObjectPath]map[string]map[string]dbus.Variant) {
		if path != qmpPath {
			all[strings.TrimPrefix(string(path), string(vmPath)+"/")] = values(interfaces)
		}
	}
	return all
}

// values are the properties of all interfaces.
func values(interfaces map[string]map[string]dbus.Variant) map[string]any {
	all := map[string]any{}
	for _, properties := range interfaces {
		for name, v := range properties {
			all[name] = v.Value()
		}
	}
	return all
}

// everything are the signals of the state, of all objects.
func (c *caller) everything() <-chan *dbus.Signal {
	c.tb.Helper()
	return c.watch(dbus.WithMatchPathNamespace(vmPath))
}

// follow writes a signal of the state as one line; the events are passed over.
func follow(tb testing.TB, signals <-chan *dbus.Signal) string {
	tb.Helper()
	for {
		s := next(tb, signals)
		switch s.Name {
		case managerIf + ".InterfacesAdded":
			return fmt.Sprint("+ ", below(s.Body[0].(dbus.ObjectPath)), " ", values(s.Body[1].(map[string]map[string]dbus.Variant)))
		case managerIf + ".InterfacesRemoved":
			return fmt.Sprint("- ", below(s.Body[0].(dbus.ObjectPath)))
		case propsIf + ".PropertiesChanged":
			told := values(map[string]map[string]dbus.Variant{"": s.Body[1].(map[string]dbus.Variant)})
			return fmt.Sprint("! ", below(s.Path), " ", told)
		case busName + ".Job.Completed":
			return fmt.Sprint("* ", below(s.Path), " ", s.Body[0])
		}
	}
}

func below(path dbus.ObjectPath) string { return strings.TrimPrefix(string(path), string(vmPath)+"/") }

// told fails unless exactly these signals come, in that order.
func told(tb testing.TB, signals <-chan *dbus.Signal, want ...string) {
	tb.Helper()
	var got []string
	for range want {
		got = append(got, follow(tb, signals))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		tb.Errorf("signals (-want +got):\n%s", diff)
	}
}

// TestObjects has a QEMU with devices of each kind: all are shown, to those who may read, without a command.
func TestObjects(t *testing.T) {
	m := newMachine(t, furnished(t))
	w := serve(t, m)
	c := w.as(viewer)
	get[string](c, "Name")
	before := m.counts()
	all := c.objects()
	if len(all) != 2+1+13+2+4+3+1+1 {
		t.Errorf("%d objects: %v", len(all), slices.Sorted(maps.Keys(all)))
	}
	for path, want := range map[string]map[string]any{
		"cpu/1": {
			"Index": uint32(1), "ThreadID": uint32(29314), "QomPath": "/machine/unattached/device[2]",
			"Socket": int64(0), "Core": int64(1), "Thread": int64(0),
		},
		"memory/dimm1":  {"Kind": "dimm", "Size": uint64(16 << 20), "Slot": int64(0), "Hotplugged": false},
		"device/sd_2d1": {"Driver": "scsi-hd", "QomPath": "/machine/peripheral/sd-1", "Bus": "scsi0.0"},
		"device/vd0":    {"Driver": "virtio-blk-pci", "QomPath": "/machine/peripheral/vd0", "Bus": "rp1"},
		"device/dimm1":  {"Driver": "pc-dimm", "QomPath": "/machine/peripheral/dimm1", "Bus": ""},
		"net/nic0":      {"MAC": "52:54:00:12:34:57", "QueueCount": uint32(1), "Link": true, "Netdev": "net0"},
		"net/nic1":      {"MAC": "52:54:00:12:34:56", "QueueCount": uint32(1), "Link": true, "Netdev": ""},
		"chardev/s_2d1": {"FrontendOpen": true},
		"job/job_2d1":   {"Type": "create", "Status": "concluded", "Current": uint64(1), "Total": uint64(1), "Progress": 1.0, "StartedBy": inventory.Nobody, "StartTime": uint64(0)},
		"migration": {
			"Status": "completed", "Transferred": uint64(636023), "Remaining": uint64(0), "Total": uint64(67641344),
			"Progress": 1.0, "DowntimeMs": uint64(992),
		},
		"device/missing": nil,
	} {
		if diff := cmp.Diff(want, all[path]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
	for path, properties := range all {
		at := dbus.ObjectPath(string(vmPath) + "/" + path)
		var own string
		for _, i := range c.introspect(at).Interfaces {
			if strings.HasPrefix(i.Name, busName) {
				own = i.Name
			}
		}
		got, err := c.call(at, propsIf+".GetAll", own)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if diff := cmp.Diff(properties, values(map[string]map[string]dbus.Variant{"": got.(map[string]dbus.Variant)})); diff != "" {
			t.Errorf("GetAll of %s (-want +got):\n%s", path, diff)
		}
		for name, want := range properties {
			if v, err := c.call(at, propsIf+".Get", own, name); err != nil || v.(dbus.Variant).Value() != want {
				t.Errorf("Get %s of %s = %v, %v, want %v", name, path, v, err, want)
			}
		}
	}
	if diff := cmp.Diff(before, m.counts()); diff != "" {
		t.Errorf("commands for reading (-before +after):\n%s", diff)
	}
	if size, cpus := get[uint64](c, "MemorySize"), get[uint32](c, "VCPUs"); size != 80<<20 || cpus != 2 {
		t.Errorf("MemorySize = %d, VCPUs = %d", size, cpus)
	}
}

// TestTree walks the introspection data: every object is found, and what is not there is UnknownObject.
func TestTree(t *testing.T) {
	w := serve(t, newMachine(t, furnished(t)))
	c := w.as(admin)
	var kinds []string
	found := map[string]bool{}
	for _, kind := range c.introspect(vmPath).Children {
		kinds = append(kinds, kind.Name)
		children := c.introspect(vmPath + "/" + dbus.ObjectPath(kind.Name)).Children
		for _, child := range children {
			found[kind.Name+"/"+child.Name] = true
		}
		if len(children) == 0 && kind.Name != "QMP" {
			found[kind.Name] = true
		}
	}
	if diff := cmp.Diff([]string{"QMP", "cpu", "memory", "device", "net", "block", "chardev", "job", "migration"}, kinds); diff != "" {
		t.Errorf("below the VM (-want +got):\n%s", diff)
	}
	want := c.objects()
	if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(found))); diff != "" {
		t.Errorf("found (-managed +introspected):\n%s", diff)
	}
	for _, path := range []dbus.ObjectPath{"/block/x", "/block/old/x", "/blockx", "/block_2fold", "/cpu/2", "/cpu/_30", "/ne", "/net/x", "/job/JOB_2d1"} {
		if _, err := c.call(vmPath+path, "org.freedesktop.DBus.Peer.Ping"); errorName(err) != dbusError+"UnknownObject" {
			t.Errorf("%s: %v, want UnknownObject", path, err)
		}
	}
}

// TestObjectsDenyStrangers has a caller without any role try all that introspection offers, and paths that are not there.
func TestObjectsDenyStrangers(t *testing.T) {
	m := newMachine(t, furnished(t))
	w := serve(t, m)
	w.withHelper()
	probes := append(w.as(admin).probes(vmPath), probe{vmPath + "/device/missing", propsIf + ".GetAll", []any{busName + ".Device"}})
	if len(probes) < 200 {
		t.Fatalf("only %d calls found", len(probes))
	}
	s := w.as(stranger)
	for _, p := range probes {
		if _, err := s.call(p.path, p.method, p.args...); errorName(err) != dbusError+"AccessDenied" {
			t.Errorf("%s %s%q = %v, want AccessDenied", p.path, p.method, p.args, err)
		}
	}
}

// TestObjectsComeAndGo has commands and events change what there is. Only what they touch is asked again.
func TestObjectsComeAndGo(t *testing.T) {
	m := newMachine(t, map[string]string{"query-block": `[{"device": "cd", "removable": true, "inserted": {"node-name": "n", "drv": "raw", "ro": true, "image": {"virtual-size": 7}}}]`})
	w := serve(t, m)
	c := w.as(admin)
	signals := w.as(viewer).everything()
	before := m.counts()

	m.answer("query-chardev", `[{"label": "a", "frontend-open": false}, {"label": "b-1", "frontend-open": false}]`)
	if _, err := c.execute("chardev-add"); err != nil {
		t.Fatal(err)
	}
	told(t, signals, "+ chardev/a map[FrontendOpen:false]", "+ chardev/b_2d1 map[FrontendOpen:false]")

	m.answer("query-chardev", `[{"label": "b-1", "frontend-open": true}, {"label": "a", "frontend-open": false}]`)
	m.client().Event("VSERPORT_CHANGE", `{"id": "p", "open": true}`)
	told(t, signals, "! chardev/b_2d1 map[FrontendOpen:true]")

	m.answer("query-block", `[{"device": "cd", "removable": true, "tray_open": true}]`)
	m.client().Event("DEVICE_TRAY_MOVED", `{"device": "cd", "id": "cd", "tray-open": true}`)
	told(t, signals, "! block/cd map[Format: Inserted:false NodeName: ReadOnly:false TrayOpen:true VirtualSize:0]")

	m.answer("query-chardev", `[]`)
	if _, err := c.execute("chardev-remove"); err != nil {
		t.Fatal(err)
	}
	told(t, signals, "- chardev/a", "- chardev/b_2d1")
	if _, err := c.call(vmPath+"/chardev", "org.freedesktop.DBus.Peer.Ping"); errorName(err) != dbusError+"UnknownObject" {
		t.Errorf("what was above objects that have gone: %v, want UnknownObject", err)
	}

	m.script("chardev-add", func(_ *qmptest.QEMU, r *qmptest.Request) { r.Fail("GenericError", "no") })
	_, _ = c.execute("chardev-add") // is refused, so nothing has changed
	w.sync()
	after := m.counts()
	want := map[string]int{"query-chardev": 3, "query-block": 1}
	for _, q := range inventory.Queries {
		if asked := after[q.Command] - before[q.Command]; asked != want[q.Command] {
			t.Errorf("%s was asked %d times, want %d", q.Command, asked, want[q.Command])
		}
	}
}

// TestTouchesCoalesce has 1000 events at once: few queries come of that.
func TestTouchesCoalesce(t *testing.T) {
	m := newMachine(t, nil)
	w := serve(t, m)
	signals := w.as(admin).everything()
	before := m.counts()
	m.hold("query-block", true)
	for range 1000 {
		m.client().Event("DEVICE_TRAY_MOVED", "")
	}
	w.sync()
	first := m.nextHeld()
	m.noneHeld()
	m.hold("query-block", false)
	m.answer("query-block", `[{"device": "late"}]`)
	first.Return(`[{"device": "early"}]`)
	if got := follow(t, signals); !strings.HasPrefix(got, "+ block/early ") {
		t.Errorf("signal %s", got)
	}
	if got := follow(t, signals); got != "- block/early" {
		t.Errorf("signal %s", got)
	}
	if got := follow(t, signals); !strings.HasPrefix(got, "+ block/late ") {
		t.Errorf("signal %s", got)
	}
	w.sync()
	if asked := m.counts()["query-block"] - before["query-block"]; asked != 2 {
		t.Errorf("query-block came %d times for 1000 events, want 2", asked)
	}
}

// TestEventWhileConnecting has something change after it was asked for, and before all else was: it is
// asked again.
func TestEventWhileConnecting(t *testing.T) {
	m := newMachine(t, nil)
	m.script("query-jobs", func(q *qmptest.QEMU, r *qmptest.Request) { // the last
		m.script("query-jobs", nil)
		m.answer("query-block", `[{"device": "new"}]`)
		q.Event("DEVICE_TRAY_MOVED", "")
		r.Return(`[]`)
	})
	c := serve(t, m).as(admin)
	rig.Eventually(t, "the drive is there", func() bool { return c.objects()["block/new"] != nil })
}

// TestObjectsOfAnotherQEMU has QEMU go, and its objects with it, and another come with others: who sees it connected
// finds them.
func TestObjectsOfAnotherQEMU(t *testing.T) {
	m := newMachine(t, map[string]string{"query-jobs": `[{"id": "old", "type": "mirror", "status": "running"}]`})
	w := serve(t, m)
	c := w.as(admin)
	signals := w.as(admin).everything()
	m.die()
	told(t, signals, "- job/old", "! /org/qemu/VM1 map[Accelerator: Connected:false Machine: Running:false Status:]")
	if all := c.objects(); len(all) != 0 {
		t.Errorf("objects without QEMU: %v", all)
	}
	m.answer("query-jobs", `[{"id": "new", "type": "backup", "status": "running"}]`)
	m.listen(qmptest.Options{})
	told(t, signals, "+ job/new map[Current:0 Progress:0 StartTime:0 StartedBy:4294967295 Status:running Total:0 Type:backup]",
		"! /org/qemu/VM1 map[Accelerator:tcg Connected:true Machine:pc-q35-7.2 Running:true Status:running]")
}

// TestProgress has a job run, which is asked for again as long as it does, and no longer.
func TestProgress(t *testing.T) {
	m := newMachine(t, nil)
	w := serve(t, m)
	signals := w.as(viewer).everything()
	at := func(status string, current int) string {
		return fmt.Sprintf(`[{"id": "j", "type": "mirror", "status": "%s", "current-progress": %d, "total-progress": 4}]`, status, current)
	}
	m.answer("query-jobs", at("running", 0))
	m.client().Event("JOB_STATUS_CHANGE", `{"id": "j", "status": "running"}`)
	told(t, signals, "+ job/j map[Current:0 Progress:0 StartTime:0 StartedBy:4294967295 Status:running Total:4 Type:mirror]")
	m.answer("query-jobs", at("running", 1))
	told(t, signals, "! job/j map[Current:1 Progress:0.25]")
	m.answer("query-jobs", at("concluded", 4))
	told(t, signals, "! job/j map[Current:4 Progress:1 Status:concluded]")
	asked := m.counts()["query-jobs"]
	time.Sleep(inventory.Pace + inventory.Pace/4)
	if now := m.counts()["query-jobs"]; now != asked {
		t.Errorf("query-jobs came %d times though nothing runs", now-asked)
	}
}

// TestMigrationEndsWithoutEvent has a migration's source go from finish-migrate to postmigrate after its last event.
func TestMigrationEndsWithoutEvent(t *testing.T) {
	m := newMachine(t, nil)
	w := serve(t, m)
	signals := w.as(viewer).everything()
	m.answer("query-status", `{"status": "finish-migrate", "running": false}`)
	m.client().Event("MIGRATION", `{"status": "completed"}`)
	told(t, signals, "! /org/qemu/VM1 map[Running:false Status:finish-migrate]")
	m.answer("query-status", `{"status": "postmigrate", "running": false}`)
	told(t, signals, "! /org/qemu/VM1 map[Status:postmigrate]")
}

// TestQEMUWithoutVM has a QEMU that has none of what is asked for, as qemu-storage-daemon: there are no
// objects, and no complaints.
func TestQEMUWithoutVM(t *testing.T) {
	m := newMachine(t, nil)
	for _, q := range inventory.Queries {
		m.script(q.Command, func(_ *qmptest.QEMU, r *qmptest.Request) { r.Fail("CommandNotFound", "The command has not been found") })
	}
	w, log := serveLogged(t, m)
	c := w.as(admin)
	if all := c.objects(); len(all) != 0 || !get[bool](c, "Connected") {
		t.Errorf("objects %v", all)
	}
	if text := log.String(); strings.Contains(text, "WARN") {
		t.Errorf("the log:\n%s", text)
	}
}

// TestTooManyObjects has a QEMU that tells of more than is shown, again and again: that is logged once.
func TestTooManyObjects(t *testing.T) {
	var all []string
	for i := range inventory.MaxItems + 1 {
		all = append(all, fmt.Sprintf(`{"id": "j%d"}`, i))
	}
	m := newMachine(t, map[string]string{"query-jobs": "[" + strings.Join(all, ",") + "]"})
	w, log := serveLogged(t, m)
	c := w.as(admin)
	if n := len(c.objects()); n != inventory.MaxItems {
		t.Errorf("%d objects, want %d", n, inventory.MaxItems)
	}
	for range 10 {
		m.client().Event("JOB_STATUS_CHANGE", "")
		w.sync()
	}
	if lines := log.lines("more than is shown"); len(lines) != 1 {
		t.Errorf("the log has %d lines of it: %q", len(lines), lines)
	}
}

// TestObjectsOutliveFullBus has objects change while the bus does not read and much waits for it already: when it goes
// on, it is told how it ended, each object once.
func TestObjectsOutliveFullBus(t *testing.T) {
	m := newMachine(t, map[string]string{"query-jobs": `[{"id": "gone"}, {"id": "kept", "status": "created"}]`})
	w := serve(t, m)
	signals := w.as(viewer).changesOfJobs()
	get[string](w.as(admin), "Status")
	w.bus.Signal(t, syscall.SIGSTOP)
	q := m.client()
	data := `{"text": "` + strings.Repeat("x", 1000) + `"}`
	for range 20_000 { // five times what may wait
		q.Event("RTC_CHANGE", data)
	}
	for i := range 10 {
		m.answer("query-jobs", fmt.Sprintf(`[{"id": "kept", "status": "s%d"}, {"id": "new%d"}]`, i, i))
		q.Event("JOB_STATUS_CHANGE", "")
		w.sync()
	}
	w.sync()
	w.bus.Signal(t, syscall.SIGCONT)
	told(t, signals, "- job/gone", "! job/kept map[Status:s9]", "+ job/new9 map[Current:0 Progress:0 StartTime:0 StartedBy:4294967295 Status: Total:0 Type:]")
}

// changesOfJobs are the signals of the state but for events.
func (c *caller) changesOfJobs() <-chan *dbus.Signal {
	c.tb.Helper()
	if err := c.AddMatchSignal(dbus.WithMatchInterface(propsIf), dbus.WithMatchPathNamespace(vmPath+"/job"), dbus.WithMatchSender(busName)); err != nil {
		c.tb.Fatal(err)
	}
	return c.watch(dbus.WithMatchInterface(managerIf))
}

// at is the path of an object below the VM's.
func at(below string) dbus.ObjectPath { return vmPath + "/" + dbus.ObjectPath(below) }
