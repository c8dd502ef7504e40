package fdpass_test

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/qmp"
	"qmp-dbus-bridge/qmp/fdtest"
	"qmp-dbus-bridge/qmp/qmptest"
)

const (
	getFD    = `getfd {"fdname":"NAME"}`
	closeFD  = `closefd {"fdname":"NAME"}`
	addFD    = `add-fd {"fdset-id":SET,"opaque":"TAG"}`
	removeFD = `remove-fd {"fdset-id":SET}`
	nodes    = `query-named-block-nodes {"flat":true}`
)

// refuse has QEMU not take what it was told.
func (q *qemu) refuse(r *qmptest.Request) {
	for _, file := range r.Files {
		file.Close()
	}
	r.Fail("GenericError", r.Name+" is refused")
}

// TestPassing has commands with descriptors executed, and refused at each step: QEMU is told these, in this order, and keeps nothing that
// it does not need.
func TestPassing(t *testing.T) {
	const tap, told = `{"type":"tap","id":"n","fds":FD}`, `netdev_add {"type":"tap","id":"n","fds":"NAME:NAME"}`
	const dump, dumped = `{"filename":FD}`, `screendump {"filename":"/dev/fdset/SET"}`
	for name, test := range map[string]struct {
		command, arguments string
		fds                int
		refused            string // a command
		want               []string
	}{
		"by name":                   {"netdev_add", tap, 2, "", []string{getFD, getFD, told, closeFD, closeFD}},
		"by name, refused":          {"netdev_add", tap, 2, "netdev_add", []string{getFD, getFD, told, closeFD, closeFD}},
		"by name, not passed":       {"netdev_add", tap, 2, "getfd", []string{getFD, getFD, told}},
		"by name, not closed":       {"netdev_add", tap, 2, "closefd", []string{getFD, getFD, told, closeFD, closeFD}},
		"in a set":                  {"screendump", dump, 1, "", []string{addFD, dumped, removeFD}},
		"in a set, refused":         {"screendump", dump, 1, "screendump", []string{addFD, dumped, removeFD}},
		"in a set, not passed":      {"screendump", dump, 1, "add-fd", []string{addFD, dumped}},
		"in a set, not removed":     {"screendump", dump, 1, "remove-fd", []string{addFD, dumped, removeFD}},
		"that the command has then": {"migrate", `{"uri":FD}`, 1, "", []string{getFD, `migrate {"uri":"fd:NAME"}`}},
	} {
		t.Run(name, func(t *testing.T) {
			q := newQEMU(t)
			q.hold(test.refused, true)
			var fds []int
			var readers []*os.File
			for range test.fds {
				w, r := fdtest.Pipe(t)
				fds, readers = append(fds, w), append(readers, r)
			}
			arguments, placed := q.place(test.command, test.arguments, fds...)
			done := q.start("a", test.command, arguments, placed, fds...)
			for _, told := range test.want {
				if name, _, _ := strings.Cut(told, " "); name == test.refused {
					q.refuse(q.nextHeld())
				}
			}
			err := q.outcome(done)
			var refused *qmp.Error
			switch fails := slices.Contains([]string{"getfd", "add-fd", test.command}, test.refused); {
			case !fails && err != nil:
				t.Error(err)
			case fails && (!errors.As(err, &refused) || refused.Desc != test.refused+" is refused"):
				t.Errorf("%v, want that %s is refused", err, test.refused)
			}
			q.wantTold(name, test.want...)
			q.fake.Hangup()
			<-q.fake.Done()
			for i, r := range readers {
				unix.Close(fds[i])
				fdtest.WantClosed(t, r)
			}
		})
	}
}

// TestPassingWhileGone has a command with descriptors whose connection has ended: they are closed, the second as the first. QEMU may have the
// first, so it is told to let go of that when it has been reached again.
func TestPassingWhileGone(t *testing.T) {
	for _, test := range []struct{ command, arguments, then string }{
		{"netdev_add", `{"type":"tap","id":"n","fds":FD}`, closeFD},
		{"screendump", `{"filename":FD}`, "query-fdsets"},
	} {
		q := newQEMU(t)
		q.fake.Hangup()
		<-q.monitor.Done()
		w, r := fdtest.Pipe(t)
		fds := []int{w}
		if test.command == "netdev_add" {
			fds = append(fds, q.null())
		}
		arguments, placed := q.place(test.command, test.arguments, fds...)
		if err := q.outcome(q.start("a", test.command, arguments, placed, fds...)); !errors.Is(err, qmp.ErrClosed) {
			t.Errorf("%s: %v, want ErrClosed", test.command, err)
		}
		unix.Close(w)
		fdtest.WantClosed(t, r)
		q.connect()
		q.wantTold(test.command, test.then)
	}
}

// TestKept has QEMU keep a set for a block node, or a job, and no longer. Whether it is in use is asked after what may have ended that, and
// once more if that happens while it is asked.
func TestKept(t *testing.T) {
	for name, test := range map[string]struct {
		command, arguments string
		asked, inUse       string // what tells that it is in use, SET being its number
	}{
		"a node": {"blockdev-add", `{"driver":"file","node-name":"n","filename":FD}`, "query-named-block-nodes", `[{"file":"json:{\"filename\":\"/dev/fdset/SET\"}"}]`},
		"a job":  {"blockdev-create", `{"job-id":"j","options":{"driver":"file","filename":FD,"size":1}}`, "query-jobs", `[{"id":"j","status":"running"}]`},
	} {
		t.Run(name, func(t *testing.T) {
			q := newQEMU(t)
			q.script("add-fd", func(fake *qmptest.QEMU, r *qmptest.Request) {
				number := different[1].pattern.FindString(string(r.Arguments))
				q.answer(test.asked, strings.ReplaceAll(test.inUse, "SET", number))
				q.Descriptors.Handle(fake, r)
			})
			fd := q.null()
			arguments, placed := q.place(test.command, test.arguments, fd)
			if err := q.outcome(q.start("a", test.command, arguments, placed, fd)); err != nil {
				t.Fatal(err)
			}
			told := []string{addFD, test.command + " " + strings.ReplaceAll(arguments, "/dev/fdset/", "/dev/fdset/SET")}
			if test.command == "blockdev-create" { // whose job may be at an end already
				told = append(told, nodes, "query-jobs")
			}
			q.wantTold("begun", told...)
			q.Heard(q.monitor, "BLOCK_IO_ERROR")
			q.hold("query-jobs", true)
			q.Heard(q.monitor, "JOB_STATUS_CHANGE")
			asked := q.nextHeld()
			q.Heard(q.monitor, "DEVICE_DELETED")
			q.Executed(q.monitor, qmp.Command{Name: "blockdev-del"})
			q.wantTold("it is asked", nodes, "query-jobs")
			q.hold("query-jobs", false)
			if test.asked == "query-jobs" {
				asked.Return(test.inUse)
			} else {
				asked.Return("[]")
			}
			q.wantTold("it is asked once more", nodes, "query-jobs")
			q.wantHas(0, 1)
			q.answer("query-jobs", "{}")
			q.Heard(q.monitor, "DEVICE_DELETED")
			q.wantTold("the answer tells nothing", nodes, "query-jobs")
			q.wantHas(0, 1)
			q.answer("query-jobs", "[]")
			q.answer(test.asked, "[]")
			q.Heard(q.monitor, "DEVICE_DELETED")
			q.wantTold("it is removed", nodes, "query-jobs", removeFD)
			q.wantHas(0, 0)
			q.Heard(q.monitor, "DEVICE_DELETED")
			q.Heard(nil, "DEVICE_DELETED")
			q.wantTold("there is none")
		})
	}
}
