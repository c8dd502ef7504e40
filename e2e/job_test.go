package e2e_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"

	"qmp-dbus-bridge/e2e/rig"
)

// job is a property of a job.
func (c *client) job(t testing.TB, id, name string) any {
	t.Helper()
	v, err := c.conn.Object(busName, vmPath+"/job/"+dbus.ObjectPath(id)).GetProperty(busName + ".Job." + name)
	if err != nil {
		t.Fatalf("Get %s of job %s: %v", name, id, err)
	}
	return v.Value()
}

// awaitJob waits until a job has that status.
func (c *client) awaitJob(t testing.TB, id, status string) {
	t.Helper()
	rig.Eventually(t, "job "+id+" is "+status, func() bool {
		return objects(t, c.conn)["job/"+id]["Status"].Value() == status
	})
}

// completes waits for the signal that a job has ended, and checks that it tells success or not, and the property Error this, in part; empty if
// it is to succeed.
func (c *client) completes(t testing.TB, signals <-chan *dbus.Signal, id, failure string) {
	t.Helper()
	patience := time.After(rig.Timeout)
	for {
		select {
		case s := <-signals:
			if s.Name != busName+".Job.Completed" || s.Path != vmPath+"/job/"+dbus.ObjectPath(id) {
				continue
			}
			why := c.job(t, id, "Error").(string)
			if !cmp.Equal(s.Body, []any{failure == ""}) || !strings.Contains(why, failure) || (why == "") != (failure == "") {
				t.Errorf("job %s completed with %v and the error %q, want %q", id, s.Body, why, failure)
			}
			return
		case <-patience:
			t.Fatalf("job %s did not complete within %v", id, rig.Timeout)
		}
	}
}

// TestJobs has jobs begin, be led and end, on a real QEMU.
func TestJobs(t *testing.T) {
	onBothBuses(t, func(t *testing.T, flags []string) { testJobs(t, rig.QEMUProgram(), flags) })
}

// TestJobsOfNewerQEMU is TestJobs on another version.
func TestJobsOfNewerQEMU(t *testing.T) { testJobs(t, rig.OtherQEMU(t, "10"), nil) }

func testJobs(t *testing.T, qemu string, flags []string) {
	vm := rig.StartQEMU(t, rig.QEMU{Program: qemu, Args: []string{"-S"}})
	b := serveQEMU(t, vm, flags...)
	c := dial(t, b)
	signals := watch(t, rig.Self().MustDial(t, b.address), dbus.WithMatchPathNamespace(vmPath))
	const size = 256 << 20
	for _, node := range []string{"source", "target"} {
		c.call(t, "BlockdevAdd", "null-co", options("node-name", node, "size", size, "read-zeroes", true))
	}
	mirror := func(id string, more ...any) {
		t.Helper()
		c.call(t, "BlockdevMirror", "source", "target", "full", options(append([]any{"job-id", id}, more...)...))
		appears(t, signals, "InterfacesAdded", "job/"+id)
	}
	dismiss := func(id string) {
		t.Helper()
		c.object(t, "job/"+id, "Job.Dismiss")
		appears(t, signals, "InterfacesRemoved", "job/"+id)
	}

	// One that is led, and ends with a whole copy.
	before := uint64(time.Now().UnixMicro())
	mirror("led", "speed", 8<<20)
	if by, since := c.job(t, "led", "StartedBy"), c.job(t, "led", "StartTime").(uint64); by != uint32(os.Getuid()) || since < before || since > uint64(time.Now().UnixMicro()) {
		t.Errorf("StartedBy = %v, StartTime = %v after %v", by, since, before)
	}
	c.object(t, "job/led", "Job.Pause")
	c.awaitJob(t, "led", "paused")
	progress := c.job(t, "led", "Progress").(float64)
	if progress == 1 {
		t.Error("it has got on at once, whatever its speed")
	}
	c.object(t, "job/led", "Job.Resume")
	c.object(t, "job/led", "Job.SetSpeed", uint64(0)) // as fast as it can
	c.awaitJob(t, "led", "ready")
	if now := c.job(t, "led", "Progress").(float64); now <= progress {
		t.Errorf("Progress = %v, and was %v", now, progress)
	}
	c.object(t, "job/led", "Job.Cancel", false)
	c.completes(t, signals, "led", "")
	for name, want := range map[string]any{"Type": "mirror", "Status": "concluded", "Progress": 1.0, "Total": uint64(size), "StartedBy": uint32(os.Getuid())} {
		if got := c.job(t, "led", name); got != want {
			t.Errorf("%s = %v of the job that has ended, want %v", name, got, want)
		}
	}
	err := c.conn.Object(busName, vmPath+"/job/led").Call(busName+".Job.Pause", 0).Err
	if want := "the job has ended well: its Status is concluded, and Dismiss removes it (Job not found)"; err == nil || err.Error() != want {
		t.Errorf("Pause of the job that has ended: %v, want %s", err, want)
	}
	dismiss("led")

	// One whose end is asked for, step by step, by QEMU.
	mirror("steps", "auto-finalize", false, "auto-dismiss", false)
	c.awaitJob(t, "steps", "ready")
	c.object(t, "job/steps", "Job.Complete")
	c.awaitJob(t, "steps", "pending")
	c.object(t, "job/steps", "Job.Finalize")
	c.completes(t, signals, "steps", "")
	dismiss("steps")

	// Two that are cancelled: who keeps them, QEMU or the bridge, makes no difference.
	for _, byQEMU := range []bool{false, true} {
		mirror("cut", "speed", 1<<20, "auto-dismiss", !byQEMU)
		c.object(t, "job/cut", "Job.Cancel", true)
		c.completes(t, signals, "cut", "Operation canceled")
		err := c.conn.Object(busName, vmPath+"/job/cut").Call(busName+".Job.Resume", 0).Err
		if want := "the job has ended with a failure, which Error tells: its Status is concluded, and Dismiss removes it"; err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("Resume of the job that was cancelled: %v, want %s", err, want)
		}
		dismiss("cut")
	}

	// Jobs that are of no block device, one of which fails.
	path := rawImage(t, "")
	c.call(t, "BlockdevCreate", "made", options("driver", "file", "filename", path, "size", 4096))
	c.completes(t, signals, "made", "")
	dismiss("made")
	if info, err := os.Stat(path); err != nil || info.Size() != 4096 {
		t.Errorf("the image that was made: %v, %v", info, err)
	}
	c.call(t, "BlockdevCreate", "failed", options("driver", "file", "filename", path+"/no/folder", "size", 4096))
	c.completes(t, signals, "failed", "Could not create")
	dismiss("failed")
	if by := c.conn.Object(busName, vmPath+"/job/failed").Call(busName+".Job.Cancel", 0, false); by.Err == nil {
		t.Error("a job that has gone was cancelled")
	}
}
