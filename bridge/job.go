package bridge

import (
	"fmt"

	"qmp-dbus-bridge/bridge/action"
	"qmp-dbus-bridge/bridge/inventory"
	"qmp-dbus-bridge/qmp"
	"qmp-dbus-bridge/schema"
	"qmp-dbus-bridge/schema/wire"
)

// The commands that cancel a job.
const (
	jobCancel      = "job-cancel"
	blockJobCancel = "block-job-cancel"
)

// jobMethods are those of org.qemu.VM1.Job.
func jobMethods() []method {
	methods := []method{
		objectMethod("Job.Pause", nil, ownJob),
		objectMethod("Job.Resume", nil, ownJob),
		cancelJob(),
		objectMethod("Job.Complete", nil, ownJob),
		objectMethod("Job.Finalize", nil, ownJob),
		dismissJob(),
		objectMethod("Job.SetSpeed", []schema.Arg{{Name: "speed", Type: "t"}}, ownBlockJob),
	}
	for m := range methods {
		if methods[m].Name != "Dismiss" {
			methods[m].refusal = jobHasEnded
		}
	}
	return methods
}

// jobHasEnded says of a job that has ended what QEMU, which may have it no more, does not. Why it failed is for those who may read
// Error.
func jobHasEnded(r *request, refused *qmp.Error) error {
	o := r.bridge.object(r.Path)
	if o == nil || o.value("Status").String() != inventory.Concluded {
		return refused
	}
	how := "well"
	if o.value("Error").String() != "" {
		how = "with a failure, which Error tells"
	}
	return &qmp.Error{
		Class: refused.Class,
		Desc:  fmt.Sprintf("the job has ended %s: its Status is %s, and Dismiss removes it (%s)", how, inventory.Concluded, refused.Desc),
	}
}

func ownJob(o *object) []schema.Own { return []schema.Own{{Name: "id", Value: o.id}} }

// ownBlockJob names the job as commands do that are for those of block devices alone.
func ownBlockJob(o *object) []schema.Own { return []schema.Own{{Name: "device", Value: o.id}} }

// blockJobs are the types of jobs that the commands block-job-* know (QEMU's is_block_job).
var blockJobs = map[string]bool{"backup": true, "commit": true, "mirror": true, "stream": true}

// cancelJob ends a job. Only one of a block device can end otherwise than by force: a mirror that is ready then leaves a whole
// copy. job-cancel always forces.
func cancelJob() method {
	in := []schema.Arg{{Name: "force", Type: "b"}}
	m := objectMethod("Job.Cancel", in, nil)
	m.Annotations = isCommand(blockJobCancel + " " + jobCancel)
	m.plan = func(r *request) *schema.Command { return r.bridge.commands().Command(r.cancels()) }
	m.parse = func(r *request) error {
		d, command := r.Decoder(), r.cancels()
		r.action = action.Command(command)
		if command == blockJobCancel {
			return r.setOwn(command, &d, in, ownBlockJob(r.object))
		}
		d.Skip() // force, which that has no argument for
		return r.setOwn(command, &d, nil, ownJob(r.object))
	}
	return m
}

// cancels is the command that a call of Cancel is.
func (r *request) cancels() string {
	d := r.Decoder()
	if force := d.Bool(); force || !blockJobs[r.object.value("Type").String()] {
		return jobCancel
	}
	return blockJobCancel
}

// dismissJob lets go of a job that has ended. One that the bridge alone has kept QEMU does not know, be it that QEMU dismisses it
// itself while it is told to.
func dismissJob() method {
	m := objectMethod("Job.Dismiss", nil, ownJob)
	m.refusal = func(r *request, refused *qmp.Error) error {
		if r.bridge.mirror.dismiss(r.object.id) {
			return nil
		}
		return refused
	}
	forward := m.run
	m.run = func(r *request) {
		if r.bridge.mirror.dismiss(r.object.id) {
			r.replyEmpty()
			return
		}
		forward(r)
	}
	return m
}

// completed tells everybody that a job has ended. Why it failed, the property Error tells those who may know, because it may name files.
var completed = schema.Signal{Name: "Completed", Args: []schema.Arg{{Name: "success", Type: "b"}}}

// announceEnd signals that the object's job has ended.
func (b *Bridge) announceEnd(o *object) error {
	return b.signal("", o.path, o.main.name(), completed.Name, "b", func(e *wire.Encoder) error {
		e.Bool(o.value("Error").String() == "")
		return nil
	})
}
