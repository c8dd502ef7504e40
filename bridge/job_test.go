package bridge_test

import (
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"

	"qmp-dbus-bridge/bridge/inventory"
	"qmp-dbus-bridge/e2e/rig"
	"qmp-dbus-bridge/qmp/qmptest"
)

const jobIf = busName + ".Job"

// eventTime is when qmptest's events are.
const eventTime uint64 = 1_700_000_000_000_005

// withJobs is a machine with the commands of a captured QEMU and no job.
func withJobs(t *testing.T) *machine {
	t.Helper()
	return newMachine(t, map[string]string{"query-qmp-schema": captured(t)["qmp-schema-7.2.22-x86_64.json"]})
}

// status has a job change its status.
func (m *machine) status(id string, status ...string) {
	for _, s := range status {
		m.client().Event("JOB_STATUS_CHANGE", fmt.Sprintf(`{"id": %q, "status": %q}`, id, s))
	}
}

// starts has a job begin as QEMU answers a command.
func (m *machine) starts(command, id string) {
	m.script(command, func(_ *qmptest.QEMU, r *qmptest.Request) {
		m.status(id, "created", "running")
		r.Return("{}")
	})
}

// ends has a job of a block device complete and go.
func (m *machine) ends(id, failure string) {
	if failure != "" {
		failure = `, "error": "` + failure + `"`
	}
	m.client().Event("BLOCK_JOB_COMPLETED", fmt.Sprintf(`{"type": "mirror", "device": %q, "len": 8, "offset": 8, "speed": 0%s}`, id, failure))
	m.status(id, "concluded", "null")
}

// job reads one property of a job.
func (c *caller) job(id, name string) any {
	c.tb.Helper()
	v, err := c.call(at("job/"+id), propsIf+".Get", jobIf, name)
	if err != nil {
		c.tb.Fatalf("%s of job %s: %v", name, id, err)
	}
	return v.(dbus.Variant).Value()
}

const runningJob = `[{"id": "j", "type": "mirror", "status": "running", "current-progress": 2, "total-progress": 8}]`

// TestJobIsKept has a job that dismisses itself end: it is there until it is dismissed, by who may, without QEMU.
func TestJobIsKept(t *testing.T) {
	m := withJobs(t)
	w := serve(t, m)
	c, v := w.as(admin), w.as(viewer)
	signals := v.everything()
	m.starts("drive-mirror", "j")
	m.answer("query-jobs", runningJob)
	if _, err := c.call(qmpPath, callJSON, "drive-mirror", `{"job-id": "j"}`); err != nil {
		t.Fatal(err)
	}
	told(t, signals, fmt.Sprintf("+ job/j map[Current:2 Progress:0.25 StartTime:%d StartedBy:0 Status:running Total:8 Type:mirror]", eventTime))
	var ends sync.Once
	m.script("query-jobs", func(_ *qmptest.QEMU, r *qmptest.Request) { // as it is asked while a job runs, and not before the job has ended
		ends.Do(func() { m.ends("j", "") })
		r.Return(`[]`)
	})
	told(t, signals, "! job/j map[Current:8 Progress:1 Status:concluded]", "* job/j true")
	w.sync()
	if status := v.job("j", "Status"); status != "concluded" {
		t.Errorf("Status = %v of a job that has ended", status)
	}
	m.commands()
	for user, role := range map[rig.User]string{viewer: "viewer", operator: "operator", helper: "helper", stranger: "none"} {
		if _, err := w.as(user).call(at("job/j"), jobIf+".Dismiss"); errorName(err) != dbusError+"AccessDenied" {
			t.Errorf("role %s: Dismiss: %v, want AccessDenied", role, err)
		}
	}
	if _, err := c.call(at("job/j"), jobIf+".Dismiss"); err != nil {
		t.Errorf("Dismiss: %v", err)
	}
	told(t, signals, "- job/j")
	if got := m.commands(); got != nil {
		t.Errorf("QEMU was told %q, want nothing", got)
	}
	if _, err := c.call(at("job/j"), jobIf+".Dismiss"); errorName(err) != dbusError+"UnknownObject" {
		t.Errorf("Dismiss again: %v, want UnknownObject", err)
	}
	if r := w.records(8)[6]; r.Action != "job-dismiss" || r.Decision != "allow" || r.Result != "ok" {
		t.Errorf("recorded: %+v", r)
	}
}

// TestJobHasEnded has the other methods of a job called that has ended: QEMU refuses, and it is told what became of the job, but not
// why, which is for others.
func TestJobHasEnded(t *testing.T) {
	for failure, how := range map[string]string{"": "well", "secret": "with a failure, which Error tells"} {
		m := withJobs(t)
		c := serve(t, m).as(admin)
		signals := c.everything()
		m.ends("j", failure)
		follow(t, signals)
		follow(t, signals)
		for command, of := range map[string]struct {
			class, text string
			method      string
			args        []any
		}{
			"job-pause":           {"GenericError", "Job not found", "Pause", nil},
			"job-resume":          {"GenericError", "Job not found", "Resume", nil},
			"job-complete":        {"GenericError", "Job not found", "Complete", nil},
			"job-finalize":        {"GenericError", "Job not found", "Finalize", nil},
			"job-cancel":          {"GenericError", "Job not found", "Cancel", []any{true}},
			"block-job-cancel":    {"DeviceNotActive", "Block job 'j' not found", "Cancel", []any{false}},
			"block-job-set-speed": {"DeviceNotActive", "Block job 'j' not found", "SetSpeed", []any{uint64(1)}},
		} {
			m.script(command, func(_ *qmptest.QEMU, r *qmptest.Request) { r.Fail(of.class, of.text) })
			_, err := c.call(at("job/j"), jobIf+"."+of.method, of.args...)
			want := "the job has ended " + how + ": its Status is concluded, and Dismiss removes it (" + of.text + ")"
			if errorName(err) != ourError+"Qmp."+of.class || err.Error() != want {
				t.Errorf("%s: %v, want %s", of.method, err, want)
			}
		}
	}
}

// TestJobThatQEMUKeeps has a job end that QEMU keeps, with an error: QEMU is told to dismiss it.
func TestJobThatQEMUKeeps(t *testing.T) {
	m := withJobs(t)
	w := serve(t, m)
	c := w.as(admin)
	signals := w.as(viewer).everything()
	m.answer("query-jobs", `[{"id": "j", "type": "create", "status": "running"}]`)
	m.status("j", "created", "running")
	told(t, signals, fmt.Sprintf("+ job/j map[Current:0 Progress:0 StartTime:%d StartedBy:4294967295 Status:running Total:0 Type:create]", eventTime))
	m.answer("query-jobs", `[{"id": "j", "type": "create", "status": "concluded", "error": "no space"}]`)
	m.status("j", "concluded")
	told(t, signals, "! job/j map[Status:concluded]", "* job/j false")
	m.script("job-dismiss", func(_ *qmptest.QEMU, r *qmptest.Request) {
		m.answer("query-jobs", `[]`)
		m.status("j", "null")
		r.Return("{}")
	})
	m.commands()
	if _, err := c.call(at("job/j"), jobIf+".Dismiss"); err != nil {
		t.Errorf("Dismiss: %v", err)
	}
	told(t, signals, "- job/j")
	if diff := cmp.Diff([]string{`job-dismiss {"id":"j"}`}, m.commands()); diff != "" {
		t.Errorf("QEMU was told (-want +got):\n%s", diff)
	}
}

// TestJobsOfOneID has a job end and another of its id begin and end before anything was read: each is told of.
func TestJobsOfOneID(t *testing.T) {
	m := withJobs(t)
	w := serve(t, m)
	signals := w.as(viewer).everything()
	m.hold("query-jobs", true)
	for i := range 2 {
		m.status("j", "created", "running")
		m.ends("j", strings.Repeat("x", i))
	}
	concluded := fmt.Sprintf("+ job/j map[Current:8 Progress:1 StartTime:%d StartedBy:4294967295 Status:concluded Total:8 Type:mirror]", eventTime)
	told(t, signals, concluded, "* job/j true", "- job/j", concluded, "* job/j false")
	held := m.nextHeld()
	m.hold("query-jobs", false)
	m.status("j", "created", "running")
	told(t, signals, "- job/j")
	m.answer("query-jobs", runningJob)
	held.Return(runningJob)
	told(t, signals, fmt.Sprintf("+ job/j map[Current:2 Progress:0.25 StartTime:%d StartedBy:4294967295 Status:running Total:8 Type:mirror]", eventTime))
}

// TestJobIsDismissedAtOnce has a caller dismiss a job that QEMU keeps before it was read how it ended.
func TestJobIsDismissedAtOnce(t *testing.T) {
	m := withJobs(t)
	w := serve(t, m)
	c := w.as(admin)
	signals := w.as(viewer).everything()
	m.hold("query-jobs", true)
	m.script("job-dismiss", func(_ *qmptest.QEMU, r *qmptest.Request) {
		m.status("j", "null")
		r.Return("{}")
	})
	m.status("j", "created", "running")
	held := m.nextHeld()
	m.client().Event("BLOCK_JOB_COMPLETED", `{"type": "mirror", "device": "j"}`)
	m.status("j", "concluded")
	if _, err := c.call(qmpPath, callJSON, "job-dismiss", `{"id": "j"}`); err != nil {
		t.Fatal(err)
	}
	if got := follow(t, signals); !strings.HasPrefix(got, "+ job/j ") { // its end was told before it went
		t.Errorf("signal %s", got)
	}
	told(t, signals, "* job/j true", "- job/j")
	m.hold("query-jobs", false)
	held.Return(`[]`)
}

// TestJobDismissesItselfFirst has QEMU dismiss a job that has ended while it is told to: it is gone, as the caller wanted.
func TestJobDismissesItselfFirst(t *testing.T) {
	m := withJobs(t)
	w := serve(t, m)
	c := w.as(admin)
	signals := w.as(viewer).everything()
	m.script("job-dismiss", func(_ *qmptest.QEMU, r *qmptest.Request) {
		m.status("j", "null")
		r.Fail("GenericError", "Job not found")
	})
	m.answer("query-jobs", runningJob)
	m.status("j", "created", "running")
	if got := follow(t, signals); !strings.HasPrefix(got, "+ job/j ") {
		t.Fatalf("signal %s", got)
	}
	m.hold("query-jobs", true)
	m.client().Event("BLOCK_JOB_COMPLETED", `{"type": "mirror", "device": "j"}`)
	held := m.nextHeld()
	if _, err := c.call(at("job/j"), jobIf+".Dismiss"); err != nil {
		t.Errorf("Dismiss: %v", err)
	}
	for got := ""; got != "- job/j"; got = follow(t, signals) {
	}
	m.answer("query-jobs", `[]`)
	m.hold("query-jobs", false)
	held.Return(`[]`)
	m.script("job-dismiss", func(_ *qmptest.QEMU, r *qmptest.Request) { r.Fail("GenericError", "Job not found") })
	if _, err := c.call(qmpPath, callJSON, "job-dismiss", `{"id": "j"}`); errorName(err) != ourError+"Qmp.GenericError" {
		t.Errorf("job-dismiss of no job: %v, want GenericError", err)
	}
}

// TestStartedBy has jobs begin by commands of callers, by a transaction, and by nobody who is known.
func TestStartedBy(t *testing.T) {
	m := withJobs(t)
	w := newWorld(t, m.dial)
	w.cedar = []string{`@id("copies") permit (principal in Role::"operator", action in [Action::"transaction", Action::"blockdev-backup"], resource);`}
	w.join()
	w.run()
	c, o := w.as(admin), w.as(operator)
	signals := w.as(viewer).everything()
	var jobs []string
	begins := func(by *caller, want any, id, command, arguments string, started ...string) {
		t.Helper()
		m.script(command, func(_ *qmptest.QEMU, r *qmptest.Request) {
			for _, id := range started {
				jobs = append(jobs, fmt.Sprintf(`{"id": %q, "type": "backup", "status": "paused"}`, id))
				m.answer("query-jobs", "["+strings.Join(jobs, ",")+"]")
				m.status(id, "created", "paused")
			}
			r.Return("{}")
		})
		if by == nil {
			jobs = append(jobs, fmt.Sprintf(`{"id": %q, "type": "backup", "status": "paused"}`, id))
			m.answer("query-jobs", "["+strings.Join(jobs, ",")+"]")
			m.status(id, "created")
		} else if _, err := by.call(qmpPath, callJSON, command, arguments); err != nil {
			t.Fatalf("%s: %v", command, err)
		}
		for range max(len(started), 1) {
			follow(t, signals)
		}
		if got := c.job(id, "StartedBy"); got != want {
			t.Errorf("%s %s: StartedBy = %v, want %v", command, arguments, got, want)
		}
	}
	begins(c, uint32(0), "a", "blockdev-backup", `{"job-id": "a"}`, "a")
	begins(o, operator.UID, "b", "blockdev-backup", `{"device": "b"}`, "b")
	begins(o, operator.UID, "d", "transaction", `{"actions": [{"type": "blockdev-backup", "data": {"job-id": "c"}},`+
		`{"type": "blockdev-backup", "data": {"device": "d"}}]}`, "c", "d")
	if got := c.job("c", "StartedBy"); got != operator.UID {
		t.Errorf("the other job of the transaction: StartedBy = %v", got)
	}
	begins(nil, inventory.Nobody, "e", "", "")
	begins(o, inventory.Nobody, "f", "blockdev-backup", `{"device": "e"}`, "f") // of a node, where QEMU says f
	if got := c.job("e", "StartedBy"); got != inventory.Nobody {
		t.Errorf("a job that was there: StartedBy = %v", got)
	}
}

// TestJobsOfAnotherQEMU has QEMU go and come back: what was kept has gone, and what has ended meanwhile is not told to have.
func TestJobsOfAnotherQEMU(t *testing.T) {
	m := withJobs(t)
	w := serve(t, m)
	c := w.as(admin)
	signals := w.as(viewer).everything()
	m.status("j", "created")
	m.ends("j", "")
	if got := follow(t, signals); !strings.HasPrefix(got, "+ job/j ") {
		t.Errorf("signal %s", got)
	}
	told(t, signals, "* job/j true")
	m.die()
	told(t, signals, "- job/j", "! /org/qemu/VM1 map[Accelerator: Connected:false Machine: Running:false Status:]")
	m.answer("query-jobs", `[{"id": "old", "type": "create", "status": "concluded"}]`)
	m.listen(qmptest.Options{})
	told(t, signals, "+ job/old map[Current:0 Progress:1 StartTime:0 StartedBy:4294967295 Status:concluded Total:0 Type:create]",
		"! /org/qemu/VM1 map[Accelerator:tcg Connected:true Machine:pc-q35-7.2 Running:true Status:running]")
	m.ends("j", "")
	if got := follow(t, signals); !strings.HasPrefix(got, "+ job/j ") {
		t.Errorf("signal %s", got)
	}
	told(t, signals, "* job/j true")
	if _, err := c.call(at("job/j"), jobIf+".Dismiss"); err != nil {
		t.Errorf("Dismiss: %v", err)
	}
}

// TestJobEndsWhileConnecting has a job end before the rest of QEMU was read: it is there when QEMU is connected.
func TestJobEndsWhileConnecting(t *testing.T) {
	m := withJobs(t)
	m.script("query-chardev", func(_ *qmptest.QEMU, r *qmptest.Request) { // before query-jobs
		m.script("query-chardev", nil)
		m.ends("j", "")
		r.Return(`[]`)
	})
	if status := serve(t, m).as(viewer).job("j", "Status"); status != "concluded" {
		t.Errorf("Status = %v", status)
	}
}

// TestMostJobsAreKept has as many jobs end as are kept, and one more.
func TestMostJobsAreKept(t *testing.T) {
	m := withJobs(t)
	w := serve(t, m)
	c := w.as(viewer)
	get[string](c, "Name")
	end := func(ids ...string) { // with QEMU silent meanwhile: it does not answer between the events of one job
		m.hold("query-jobs", true)
		for _, id := range ids {
			m.ends(id, "")
		}
		w.sync()
		m.hold("query-jobs", false)
		for len(m.held) > 0 {
			(<-m.held).Return("[]")
		}
		w.sync()
	}
	var ids []string
	for i := range inventory.MaxKept {
		ids = append(ids, fmt.Sprint("j", i))
	}
	end(ids...)
	if n := len(c.objects()); n != inventory.MaxKept {
		t.Errorf("%d jobs are kept of %d", n, inventory.MaxKept)
	}
	end("more")
	if all := c.objects(); len(all) != inventory.MaxKept || all["job/j0"] != nil || all["job/more"] == nil {
		t.Errorf("%d jobs are kept, the oldest: %v, the last: %v", len(all), all["job/j0"], all["job/more"])
	}
}

// TestCompletedOutlivesFullBus has a job end while the bus does not read: what it is told then is told once.
func TestCompletedOutlivesFullBus(t *testing.T) {
	m := withJobs(t)
	w := serve(t, m)
	v := w.as(viewer)
	if err := v.AddMatchSignal(dbus.WithMatchInterface(jobIf), dbus.WithMatchSender(busName)); err != nil {
		t.Fatal(err)
	}
	signals := v.changesOfJobs()
	get[string](w.as(admin), "Status")
	w.bus.Signal(t, syscall.SIGSTOP)
	data := `{"text": "` + strings.Repeat("x", 1000) + `"}`
	for range 20_000 { // five times what may wait
		m.client().Event("RTC_CHANGE", data)
	}
	m.ends("j", "")
	m.ends("k", "x")
	w.sync()
	w.bus.Signal(t, syscall.SIGCONT)
	ended := "Progress:1 StartTime:0 StartedBy:4294967295 Status:concluded Total:8 Type:mirror]"
	told(t, signals, "+ job/j map[Current:8 "+ended, "* job/j true", "+ job/k map[Current:8 "+ended, "* job/k false")
}
