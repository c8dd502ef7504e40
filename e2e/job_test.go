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
	m := mirroring{dial(t, b), watch(t, rig.Self().MustDial(t, b.address), dbus.WithMatchPathNamespace(vmPath))}
	for _, node := range []string{"source", "target"} {
		m.call(t, "BlockdevAdd", "null-co", options("node-name", node, "size", mirrorSize, "read-zeroes", true))
	}
	m.led(t)
	m.stepped(t)
	m.cancelled(t)
	m.ofNoDevice(t)
}

// mirrorSize is how much a mirror copies, in bytes.
const mirrorSize = 256 << 20

// mirroring is a client whose QEMU has two block nodes, and the signals of its jobs.
type mirroring struct {
	*client
	signals <-chan *dbus.Signal
}

// start copies the one node to the other.
func (m mirroring) start(t *testing.T, id string, more ...any) {
	t.Helper()
	m.call(t, "BlockdevMirror", "source", "target", "full", options(append([]any{"job-id", id}, more...)...))
	appears(t, m.signals, "InterfacesAdded", "job/"+id)
}

func (m mirroring) dismiss(t *testing.T, id string) {
	t.Helper()
	m.object(t, "job/"+id, "Job.Dismiss")
	appears(t, m.signals, "InterfacesRemoved", "job/"+id)
}

// led is a job that is led, and ends with a whole copy.
func (m mirroring) led(t *testing.T) {
	before := uint64(time.Now().UnixMicro())
	m.start(t, "led", "speed", 8<<20)
	if by, since := m.job(t, "led", "StartedBy"), m.job(t, "led", "StartTime").(uint64); by != uint32(os.Getuid()) || since < before || since > uint64(time.Now().UnixMicro()) {
		t.Errorf("StartedBy = %v, StartTime = %v after %v", by, since, before)
	}
	m.object(t, "job/led", "Job.Pause")
	m.awaitJob(t, "led", "paused")
	progress := m.job(t, "led", "Progress").(float64)
	if progress == 1 {
		t.Error("it has got on at once, whatever its speed")
	}
	m.object(t, "job/led", "Job.Resume")
	m.object(t, "job/led", "Job.SetSpeed", uint64(0)) // as fast as it can
	m.awaitJob(t, "led", "ready")
	if now := m.job(t, "led", "Progress").(float64); now <= progress {
		t.Errorf("Progress = %v, and was %v", now, progress)
	}
	m.object(t, "job/led", "Job.Cancel", false)
	m.completes(t, m.signals, "led", "")
	for name, want := range map[string]any{"Type": "mirror", "Status": "concluded", "Progress": 1.0, "Total": uint64(mirrorSize), "StartedBy": uint32(os.Getuid())} {
		if got := m.job(t, "led", name); got != want {
			t.Errorf("%s = %v of the job that has ended, want %v", name, got, want)
		}
	}
	err := m.conn.Object(busName, vmPath+"/job/led").Call(busName+".Job.Pause", 0).Err
	if want := "the job has ended well: its Status is concluded, and Dismiss removes it (Job not found)"; err == nil || err.Error() != want {
		t.Errorf("Pause of the job that has ended: %v, want %s", err, want)
	}
	m.dismiss(t, "led")
}

// stepped is one whose end is asked for, step by step, by QEMU.
func (m mirroring) stepped(t *testing.T) {
	m.start(t, "steps", "auto-finalize", false, "auto-dismiss", false)
	m.awaitJob(t, "steps", "ready")
	m.object(t, "job/steps", "Job.Complete")
	m.awaitJob(t, "steps", "pending")
	m.object(t, "job/steps", "Job.Finalize")
	m.completes(t, m.signals, "steps", "")
	m.dismiss(t, "steps")
}

// cancelled are two that are: who keeps them, QEMU or the bridge, makes no difference.
func (m mirroring) cancelled(t *testing.T) {
	for _, byQEMU := range []bool{false, true} {
		m.start(t, "cut", "speed", 1<<20, "auto-dismiss", !byQEMU)
		m.object(t, "job/cut", "Job.Cancel", true)
		m.completes(t, m.signals, "cut", "Operation canceled")
		err := m.conn.Object(busName, vmPath+"/job/cut").Call(busName+".Job.Resume", 0).Err
		if want := "the job has ended with a failure, which Error tells: its Status is concluded, and Dismiss removes it"; err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("Resume of the job that was cancelled: %v, want %s", err, want)
		}
		m.dismiss(t, "cut")
	}
}

// ofNoDevice are jobs that are of no block device, one of which fails.
func (m mirroring) ofNoDevice(t *testing.T) {
	path := rawImage(t, "")
	m.call(t, "BlockdevCreate", "made", options("driver", "file", "filename", path, "size", 4096))
	m.completes(t, m.signals, "made", "")
	m.dismiss(t, "made")
	if info, err := os.Stat(path); err != nil || info.Size() != 4096 {
		t.Errorf("the image that was made: %v, %v", info, err)
	}
	m.call(t, "BlockdevCreate", "failed", options("driver", "file", "filename", path+"/no/folder", "size", 4096))
	m.completes(t, m.signals, "failed", "Could not create")
	m.dismiss(t, "failed")
	if by := m.conn.Object(busName, vmPath+"/job/failed").Call(busName+".Job.Cancel", 0, false); by.Err == nil {
		t.Error("a job that has gone was cancelled")
	}
}
