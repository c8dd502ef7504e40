package bridge_test

import (
	"encoding/base64"
	"fmt"
	"maps"
	"math"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"

	"qmp-dbus-bridge/e2e/rig"
	"qmp-dbus-bridge/qmp/qmptest"
)

// furnishedOf is furnished, with the commands of a captured QEMU.
func furnishedOf(t *testing.T, schema string) map[string]string {
	t.Helper()
	all := furnished(t)
	maps.Copy(all, map[string]string{"query-qmp-schema": captured(t)[schema]})
	return all
}

// objectCall is a call of a method of an object and the command that it is.
type objectCall struct {
	object, method string
	args           []any
	want           string
}

// anon is the drive whose device has no id.
const anon = "block/_2fmachine_2fperipheral_2danon_2fdevice_5b0_5d"

// objectCalls are calls of all methods of objects that are one command each.
var objectCalls = []objectCall{
	{"block/vd0", "Block.Resize", []any{uint64(1 << 30)}, `block_resize {"node-name":"n0","size":1073741824}`},
	{"block/vd0", "Block.Resize", []any{uint64(math.MaxInt64)}, `block_resize {"node-name":"n0","size":9223372036854775807}`},

	{"block/cd0", "Block.Eject", []any{true}, `eject {"id":"cd0","force":true}`},
	{"block/old", "Block.Eject", []any{false}, `eject {"id":"sd-1","force":false}`},
	{"block/vd0", "Block.Eject", []any{false}, `eject {"id":"/machine/peripheral/vd0/virtio-backend","force":false}`},
	{anon, "Block.Eject", []any{false}, `eject {"id":"/machine/peripheral-anon/device[0]","force":false}`},
	{"block/loose", "Block.Eject", []any{false}, `eject {"device":"loose","force":false}`},

	{"block/cd0", "Block.ChangeMedium", []any{"/a.iso", none}, `blockdev-change-medium {"id":"cd0","filename":"/a.iso"}`},
	{
		"block/loose", "Block.ChangeMedium",
		[]any{"/a.iso", some("read-only-mode", "retain")},
		`blockdev-change-medium {"device":"loose","filename":"/a.iso","read-only-mode":"retain"}`,
	},
	{
		"block/cd0", "Block.SetThrottle",
		[]any{none},
		`block_set_io_throttle {"id":"cd0","bps":0,"bps_rd":0,"bps_wr":0,"iops":0,"iops_rd":0,"iops_wr":0}`,
	},
	{
		"block/cd0", "Block.SetThrottle",
		[]any{some("iops", uint32(7))},
		`block_set_io_throttle {"id":"cd0","iops":7,"bps":0,"bps_rd":0,"bps_wr":0,"iops_rd":0,"iops_wr":0}`,
	},
	{
		"block/cd0", "Block.SetThrottle",
		[]any{some("group", "g")},
		`block_set_io_throttle {"id":"cd0","group":"g","bps":0,"bps_rd":0,"bps_wr":0,"iops":0,"iops_rd":0,"iops_wr":0}`,
	},
	{"block/vd0", "Block.GetStats", nil, `query-blockstats`},

	{"net/nic0", "Net.SetLink", []any{false}, `set_link {"name":"nic0","up":false}`},
	{"net/nic1", "Net.SetLink", []any{true}, `set_link {"name":"nic1","up":true}`},

	{"chardev/ch0", "Chardev.ReadRing", []any{uint64(7)}, `ringbuf-read {"device":"ch0","format":"base64","size":7}`},
	{"chardev/s_2d1", "Chardev.ReadRing", []any{uint64(1 << 20)}, `ringbuf-read {"device":"s-1","format":"base64","size":1048576}`},

	{"job/m", "Job.Pause", nil, `job-pause {"id":"m"}`},
	{"job/m", "Job.Resume", nil, `job-resume {"id":"m"}`},
	{"job/m", "Job.Cancel", []any{false}, `block-job-cancel {"device":"m","force":false}`},
	{"job/m", "Job.Cancel", []any{true}, `job-cancel {"id":"m"}`},
	{"job/job_2d1", "Job.Cancel", []any{false}, `job-cancel {"id":"job-1"}`},
	{"job/m", "Job.Complete", nil, `job-complete {"id":"m"}`},
	{"job/m", "Job.Finalize", nil, `job-finalize {"id":"m"}`},
	{"job/job_2d1", "Job.Dismiss", nil, `job-dismiss {"id":"job-1"}`},
	{"job/m", "Job.SetSpeed", []any{uint64(5)}, `block-job-set-speed {"device":"m","speed":5}`},
	{"job/m", "Job.SetSpeed", []any{uint64(math.MaxInt64)}, `block-job-set-speed {"device":"m","speed":9223372036854775807}`},
}

// some is a dictionary of variants.
func some(keysAndValues ...any) map[string]dbus.Variant {
	all := map[string]dbus.Variant{}
	for i := 0; i < len(keysAndValues); i += 2 {
		all[keysAndValues[i].(string)] = dbus.MakeVariant(keysAndValues[i+1])
	}
	return all
}

// withMore adds to answers objects that objectCalls are of.
func withMore(answers map[string]string) map[string]string {
	for query, more := range map[string]string{
		"query-block": `{"device": "loose", "removable": true}`,
		"query-jobs":  `{"id": "m", "type": "mirror", "status": "standby"}`,
	} {
		answers[query] = strings.Replace(answers[query], "[", "["+more+", ", 1)
	}
	return answers
}

// withObjects is a machine with the devices and commands of a captured QEMU, and answers that the commands of objectCalls have.
func withObjects(t *testing.T) *machine {
	t.Helper()
	answers := withMore(furnishedOf(t, "qmp-schema-7.2.22-x86_64.json"))
	answers["query-blockstats"] = `[{"qdev": "/machine/peripheral/vd0/virtio-backend", "stats": {}}]`
	answers["ringbuf-read"] = `""`
	return newMachine(t, answers)
}

// TestObjectCommandDenied has callers that may not: nothing reaches QEMU. What it would not understand is told to those
// alone who may.
func TestObjectCommandDenied(t *testing.T) {
	m := withObjects(t)
	w := serve(t, m)
	w.as(admin).objects()
	m.commands()
	for _, user := range []struct {
		*caller
		role string
	}{{w.as(viewer), "viewer"}, {w.as(operator), "operator"}, {w.as(helper), "helper"}, {w.as(stranger), "none"}} {
		for _, of := range objectCalls {
			if of.method == "Block.GetStats" && user.role != "none" { // class read
				continue
			}
			if _, err := user.call(at(of.object), busName+"."+of.method, of.args...); errorName(err) != dbusError+"AccessDenied" {
				t.Errorf("role %s: %s: %v, want AccessDenied", user.role, of.method, err)
			}
		}
		for _, nonsense := range []any{none, some("nonsense", 1)} {
			if _, err := user.call(at("block/cd0"), blockIf+".ChangeMedium", "\uFFFE", nonsense); errorName(err) != dbusError+"AccessDenied" {
				t.Errorf("role %s: nonsense: %v, want AccessDenied", user.role, err)
			}
		}
	}
	if got := m.commands(); got != nil {
		t.Errorf("QEMU was told %q, want nothing", got)
	}
}

// TestObjectCommands has methods of objects called, each of which is one command.
func TestObjectCommands(t *testing.T) {
	m := withObjects(t)
	c := serve(t, m).as(admin)
	for _, of := range objectCalls {
		m.commands()
		if _, err := c.call(at(of.object), busName+"."+of.method, of.args...); err != nil {
			t.Errorf("%s.%s: %v", of.object, of.method, err)
		}
		if diff := cmp.Diff([]string{of.want}, m.commands()); diff != "" {
			t.Errorf("%s.%s (-want +got):\n%s", of.object, of.method, diff)
		}
	}
}

// TestObjectCommandArguments has arguments that can't be: who may call is told which, and nothing reaches QEMU.
func TestObjectCommandArguments(t *testing.T) {
	m := withObjects(t)
	c := serve(t, m).as(admin)
	get[string](c, "Name")
	m.commands()
	for _, of := range []objectCall{
		{"block/cd0", "Block.ChangeMedium", []any{"f", some("force", "yes")}, "blockdev-change-medium.force: expected bool, got string"},
		{"block/cd0", "Block.ChangeMedium", []any{"f", some("id", "x")}, "blockdev-change-medium.id: not for the caller to give: it follows from the object"},
		{"block/cd0", "Block.ChangeMedium", []any{"f", some("filename", "x")}, "blockdev-change-medium.filename: given as an argument and in the dictionary"},
		{"block/cd0", "Block.ChangeMedium", []any{"\uFFFE", none}, "blockdev-change-medium.filename: the string has the noncharacter U+FFFE, which QEMU refuses"},
		{"block/cd0", "Block.SetThrottle", []any{some("bps", true)}, "block_set_io_throttle.bps: expected int, got bool"},
		{"block/cd0", "Block.SetThrottle", []any{some("id", "x")}, "block_set_io_throttle.id: not for the caller to give: it follows from the object"},
		{"block/cd0", "Block.ChangeMedium", []any{"f", some("node-name", "x")}, "blockdev-change-medium.node-name: unknown member; there are device, format, force, read-only-mode"},
		{"block/vd0", "Block.Resize", []any{uint64(math.MaxInt64 + 1)}, "block_resize.size: 9223372036854775808 is out of range: from 0 to 9223372036854775807"},
		{"job/m", "Job.SetSpeed", []any{uint64(math.MaxUint64)}, "block-job-set-speed.speed: 18446744073709551615 is out of range: from 0 to 9223372036854775807"},
		{"chardev/ch0", "Chardev.ReadRing", []any{uint64(math.MaxInt64 + 1)}, "ringbuf-read.size: 9223372036854775808 is out of range: from 0 to 9223372036854775807"},
		{"block/cd0", "Block.Eject", []any{"yes"}, "org.qemu.VM1.Block.Eject: expected arguments (b force), got 's'"},
	} {
		_, err := c.call(at(of.object), busName+"."+of.method, of.args...)
		if errorName(err) != dbusError+"InvalidArgs" || err.Error() != of.want {
			t.Errorf("%s.%s%v: %v, want InvalidArgs: %s", of.object, of.method, of.args, err, of.want)
		}
	}
	if got := m.commands(); got != nil {
		t.Errorf("QEMU was told %q, want nothing", got)
	}
}

// TestObjectCommandOfLongID has drives whose devices have ids that begin with another's: each is called by the whole of its own, and none is
// shown that could not be.
func TestObjectCommandOfLongID(t *testing.T) {
	short := strings.Repeat("a", 235) // with its folder in QOM, of 20 bytes, as long as a text that is shown
	long, path := short+strings.Repeat("b", 20), "/machine/"+strings.Repeat("c", 1024)
	answers := furnishedOf(t, "qmp-schema-7.2.22-x86_64.json")
	answers["query-block"] = fmt.Sprintf(`[{"device": "", "qdev": %q}, {"device": "", "qdev": %q}, {"device": "d", "qdev": %q}]`, short, long, path)
	m := newMachine(t, answers)
	c := serve(t, m).as(admin)
	get[string](c, "Name")
	m.commands()
	for _, id := range []string{short, long} {
		if _, err := c.call(at("block/"+id), blockIf+".Eject", false); err != nil {
			t.Error(err)
		}
	}
	if diff := cmp.Diff([]string{`eject {"id":"` + short + `","force":false}`, `eject {"id":"` + long + `","force":false}`}, m.commands()); diff != "" {
		t.Errorf("QEMU was told (-want +got):\n%s", diff)
	}
	if _, err := c.call(at("block/d"), blockIf+".Eject", false); errorName(err) != dbusError+"UnknownObject" {
		t.Errorf("a drive whose path is too long: %v, want UnknownObject", err)
	}
}

// TestObjectCommandShows has who called a method find what it did when it returns.
func TestObjectCommandShows(t *testing.T) {
	m := newMachine(t, furnishedOf(t, "qmp-schema-7.2.22-x86_64.json"))
	w := serve(t, m)
	c := w.as(admin)
	m.answer("query-block", driveOf("f", "1"))
	if _, err := c.call(at("block/vd0"), blockIf+".Resize", uint64(8)); err != nil {
		t.Fatal(err)
	}
	if size := c.objects()["block/d"]["VirtualSize"]; size != uint64(8) {
		t.Errorf("VirtualSize = %v, want 8", size)
	}
}

// TestObjectCommandIsLacked has a QEMU that lacks the commands of the methods.
func TestObjectCommandIsLacked(t *testing.T) {
	m := newMachine(t, withMore(furnished(t)))
	c := serve(t, m).as(admin)
	for _, of := range objectCalls {
		name, _, _ := strings.Cut(of.want, " ")
		_, err := c.call(at(of.object), busName+"."+of.method, of.args...)
		if want := "this QEMU has no command " + name; errorName(err) != dbusError+"NotSupported" || err.Error() != want {
			t.Errorf("%s: %v, want NotSupported: %s", of.method, err, want)
		}
	}
	if got := m.commands(); got != nil {
		t.Errorf("QEMU was told %q, want nothing", got)
	}
}

// TestObjectCommandLacksMember has a QEMU that lacks a member of a command that the object gives.
func TestObjectCommandLacksMember(t *testing.T) {
	m := newMachine(t, map[string]string{
		"query-block": driveOf("f", "1"), "query-qmp-schema": schemaOf(t, []string{"block_resize"}, nil),
	})
	_, err := serve(t, m).as(admin).call(at("block/d"), blockIf+".Resize", uint64(1))
	if want := "block_resize.node-name: not supported by this QEMU"; errorName(err) != dbusError+"NotSupported" || err.Error() != want {
		t.Errorf("%v, want NotSupported: %s", err, want)
	}
}

// TestObjectCommandEnds has QEMU go while a method waits for it: the call is answered, and works when QEMU is back.
func TestObjectCommandEnds(t *testing.T) {
	m := withObjects(t)
	c := serve(t, m).as(admin)
	get[string](c, "Name")
	m.hold("eject", true)
	pending := c.Object(busName, at("block/cd0")).Go(blockIf+".Eject", 0, nil, true)
	m.nextHeld()
	m.die()
	if <-pending.Done; errorName(pending.Err) != ourError+"Disconnected" {
		t.Errorf("Eject: %v, want Disconnected", pending.Err)
	}
	rig.Eventually(t, "it is shown that QEMU has gone", func() bool { return !get[bool](c, "Connected") })
	const away = ": there is no connection to QEMU now; watch the property Connected of org.qemu.VM1"
	for path, want := range map[dbus.ObjectPath]string{
		at("block/cd0"): "there is no object /org/qemu/VM1/block/cd0" + away, "/org/qemu/VM2": "there is no object /org/qemu/VM2",
		at("helper/tpm"): "there is no object /org/qemu/VM1/helper/tpm", // which is on the bus, and not QEMU's
	} {
		if _, err := c.call(path, blockIf+".Eject", true); errorName(err) != dbusError+"UnknownObject" || err.Error() != want {
			t.Errorf("Eject of %s while QEMU is away: %v, want UnknownObject: %s", path, err, want)
		}
	}
	m.hold("eject", false)
	m.listen(qmptest.Options{})
	rig.Eventually(t, "QEMU is back", func() bool { return get[bool](c, "Connected") })
	if _, err := c.call(at("block/cd0"), blockIf+".Eject", true); err != nil {
		t.Errorf("Eject when QEMU is back: %v", err)
	}
	if _, err := c.call(at("block/none"), blockIf+".Eject", true); err == nil || err.Error() != "there is no object /org/qemu/VM1/block/none" {
		t.Errorf("Eject of no drive: %v", err)
	}
}

// TestGetStats has what QEMU counts of one drive of several, in the types of the typed method.
func TestGetStats(t *testing.T) {
	m := withObjects(t)
	c := serve(t, m).as(viewer)
	for _, test := range []struct {
		object, told string
		want         any
	}{
		{"block/cd0", `[{"qdev": "cd1", "stats": {}}, {"device": "", "qdev": "cd0", "stats": {"rd_bytes": 7, "timed_stats": []}, "node-name": "n",` +
			`"parent": {"stats": {}}, "backing": {"stats": {}}}, {"qdev": "cd0", "stats": {"rd_bytes": 8}}]`, some(
			"device", "", "qdev", "cd0", "node-name", "n",
			"stats", some("rd_bytes", int64(7), "timed_stats", []map[string]dbus.Variant{}),
		)},
		{"block/old", `[{"device": "x", "qdev": "sd-1", "stats": {}}, {"device": "old", "qdev": "sd-1", "stats": {}}]`, some(
			"device", "old", "qdev", "sd-1", "stats", some(),
		)},
		{"block/loose", `[{"device": "loose", "stats": {"new": 1.5}}]`, some("device", "loose", "stats", some("new", 1.5))},
		{"block/cd0", `[]`, dbusError + "UnknownObject"},
		{"block/cd0", `{}`, ourError + "Protocol"},
		{"block/cd0", `[7]`, ourError + "Protocol"},
		{"block/cd0", `[{"qdev": "cd0", "stats": ` + strings.Repeat(`{"a":`, 70) + "1" + strings.Repeat("}", 71) + "]", ourError + "LimitsExceeded"},
	} {
		m.answer("query-blockstats", test.told)
		got, err := c.call(at(test.object), blockIf+".GetStats")
		if err != nil {
			got = errorName(err)
		}
		if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(dbus.Variant{}, dbus.Signature{})); diff != "" {
			t.Errorf("GetStats of %s (-want +got):\n%s", test.object, diff)
		}
	}
}

// TestReadRing has what a ring buffer holds, byte by byte, and answers that are none.
func TestReadRing(t *testing.T) {
	m := withObjects(t)
	c := serve(t, m).as(admin)
	for _, test := range []struct {
		size uint64
		told string
		want any
	}{
		{3, `"AP8="`, []byte{0, 255}},
		{3, `""`, []byte{}},
		{1 << 20, `"` + base64.StdEncoding.EncodeToString(make([]byte, 1<<20)) + `"`, make([]byte, 1<<20)},
		{1<<20 + 1, `""`, dbusError + "LimitsExceeded"},
		{3, `"%"`, ourError + "Protocol"},
		{3, `7`, ourError + "Protocol"},
	} {
		m.answer("ringbuf-read", test.told)
		got, err := c.call(at("chardev/ch0"), busName+".Chardev.ReadRing", test.size)
		if err != nil {
			got = errorName(err)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("ReadRing(%d) of %.20s (-want +got):\n%.200s", test.size, test.told, diff)
		}
	}
	m.script("ringbuf-read", func(_ *qmptest.QEMU, r *qmptest.Request) { r.Fail("GenericError", "ch0 is not a ringbuf device") })
	_, err := c.call(at("chardev/ch0"), busName+".Chardev.ReadRing", uint64(1))
	if errorName(err) != ourError+"Qmp.GenericError" || err.Error() != "ch0 is not a ringbuf device" {
		t.Errorf("ReadRing of what is no ring buffer: %v, want QEMU's words", err)
	}
}
