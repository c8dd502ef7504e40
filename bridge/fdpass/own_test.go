package fdpass_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"qmp-dbus-bridge/bridge/fdarg"
	"qmp-dbus-bridge/bridge/fdpass"
	"qmp-dbus-bridge/e2e/rig"
	"qmp-dbus-bridge/qmp"
	"qmp-dbus-bridge/qmp/qmptest"
	"qmp-dbus-bridge/schema"
)

// mustRun has an owner run a command.
func (q *qemu) mustRun(owner, name, arguments string, fds ...int) {
	q.Helper()
	if err := q.run(owner, name, arguments, fds...); err != nil {
		q.Fatalf("%s %s: %v", name, arguments, err)
	}
}

// TestOthers has an owner try what it may not do with what is another's, or the bridge's: QEMU is told nothing. Whose it is may.
func TestOthers(t *testing.T) {
	q := newQEMU(t)
	fd := q.null()
	q.mustRun("a", "getfd", `{"fdname":"x"}`, fd)
	q.mustRun("a", "add-fd", `{"fdset-id":5}`, fd)
	set, err := q.NewSet(q.monitor)
	if err != nil {
		t.Fatal(err)
	}
	number := strings.TrimPrefix(set.Name(), fdarg.SetPrefix)
	q.wantTold("all is well", `getfd {"fdname":"x"}`, `add-fd {"fdset-id":5,"opaque":"TAG"}`)
	for command, arguments := range map[string][]string{
		"getfd":     {`{"fdname":"x"}`},
		"closefd":   {`{"fdname":"x"}`, `{"fdname":"y"}`, `{}`},
		"add-fd":    {`{"fdset-id":5}`, `{"fdset-id":` + number + `}`},
		"remove-fd": {`{"fdset-id":5}`, `{"fdset-id":5,"fd":1}`, `{"fdset-id":` + number + `}`},
	} {
		for _, given := range arguments {
			err := q.run("b", command, given, fd)
			var refused *qmp.Error
			if isClose := command == "closefd"; !isClose && !errors.Is(err, fdpass.ErrOthers) || isClose && !errors.As(err, &refused) {
				t.Errorf("%s %s: %v", command, given, err)
			}
		}
	}
	var id int64
	if _, err := fmt.Sscan(number, &id); err != nil {
		t.Fatal(err)
	}
	a, b := q.Names("a"), q.Names("b")
	for what, wrong := range map[string]bool{
		"its own": a.Name("x") != nil || a.Set(5) != nil, "nobody's name": b.Name("y") == nil, "a set of elsewhere": b.Set(6) != nil,
		"a name of another's": b.Name("x") == nil, "a set of another's": b.Set(5) == nil, "the bridge's": a.Set(id) == nil || b.Set(id) == nil,
	} {
		if wrong {
			t.Errorf("%s may be named though it may not, or the other way round", what)
		}
	}
	q.wantTold("refused")
	q.Forget("a")
	q.wantHas(0, 0)
	rig.Eventually(t, "the name can be used again", func() bool { return q.run("b", "getfd", `{"fdname":"x"}`, fd) == nil })
	set.Drop()
}

// TestOwnedWithForeign has an owner add to a set that QEMU has from elsewhere, and leave: what was in it stays.
func TestOwnedWithForeign(t *testing.T) {
	q := newQEMU(t)
	fd := q.null()
	q.AddForeign(t, 5)
	for range 2 {
		q.mustRun("a", "add-fd", `{"fdset-id":5}`, fd)
	}
	q.AddForeign(t, 5)
	q.wantHas(0, 4)
	q.Forget("a")
	q.wantHas(0, 2)
}

// TestOwnedPipelined has an owner remove a set and add to it without waiting: what is added after that is its own still.
func TestOwnedPipelined(t *testing.T) {
	q := newQEMU(t)
	fd := q.null()
	q.mustRun("a", "add-fd", `{"fdset-id":5}`, fd)
	for _, command := range []string{"remove-fd", "add-fd"} {
		q.hold(command, true)
	}
	outcomes := []<-chan qmp.Reply{q.start("a", "remove-fd", `{"fdset-id":5}`, fdarg.Placed{})}
	outcomes = append(outcomes, q.start("a", "add-fd", `{"fdset-id":5}`, fdarg.Placed{}, fd))
	asked := []*qmptest.Request{q.nextHeld(), q.nextHeld()}
	for i, r := range asked {
		q.hold(r.Name, false)
		q.Descriptors.Handle(nil, r)
		if err := q.outcome(outcomes[i]); err != nil {
			t.Errorf("%s: %v", r.Name, err)
		}
	}
	if err := q.run("b", "add-fd", `{"fdset-id":5}`, fd); !errors.Is(err, fdpass.ErrOthers) {
		t.Errorf("another adds to it: %v, want ErrOthers", err)
	}
	q.wantHas(0, 1)
	q.Forget("a")
	q.wantHas(0, 0)
}

// TestMaxOwned has owners pass as many as each, its user, all users and all may, and one more; when one has left there is room again.
func TestMaxOwned(t *testing.T) {
	const ofOne, ofAll = 16, 64
	q := newQEMU(t)
	q.users = map[string]uint32{"a": 1, "b": 1, "one more of 1": 1, "c": 2, "one more of 2": 2} // "d" is an administrator's
	fd := q.null()
	full := func(owner, why string) {
		t.Helper()
		for command, arguments := range map[string]string{"getfd": `{"fdname":"one more"}`, "add-fd": `{}`} {
			if err := q.run(owner, command, arguments, fd); !errors.Is(err, fdpass.ErrLimit) || !strings.Contains(err.Error(), why) {
				t.Errorf("%s of %s: %v, want that %s", command, owner, err, why)
			}
		}
	}
	for n := range ofAll / ofOne {
		owner := string(rune('a' + n))
		for i := range ofOne {
			q.mustRun(owner, "getfd", fmt.Sprintf(`{"fdname":"x%s%d"}`, owner, i), fd)
			q.mustRun(owner, "add-fd", `{}`, fd)
		}
		full(owner, "you have 16, which is the most")
		switch owner {
		case "b":
			full("one more of 1", "your user has 32, which is the most")
		case "c":
			full("one more of 2", "all users who are no administrators have 48, which is the most")
		}
	}
	full("z", "all callers have 64, which is the most")
	q.mustRun("a", "getfd", `{"fdname":"xa0"}`, fd) // in place of its own
	q.wantHas(ofAll, ofAll)
	q.Forget("a")
	q.wantHas(ofAll-ofOne, ofAll-ofOne)
	rig.Eventually(t, "there is room again", func() bool {
		return q.run("z", "getfd", `{"fdname":"one more"}`, fd) == nil && q.run("z", "add-fd", `{}`, fd) == nil
	})
}

// TestMaxUnremoved has QEMU keep what is removed while the guest does not run, as many as it may, and one more. It lets go of all when the
// guest runs.
func TestMaxUnremoved(t *testing.T) {
	const most = 64
	for name, once := range map[string]func(q *qemu, fd int) error{
		"of the bridge's": func(q *qemu, fd int) error {
			set, err := q.NewSet(q.monitor)
			if err != nil {
				return err
			}
			done := make(chan qmp.Reply, 1)
			set.Add(q.monitor, q.copies([]int{fd})[0], func(reply qmp.Reply) { done <- qmp.Reply{Err: reply.Err} })
			added := q.outcome(done)
			set.Remove(q.monitor, func() { done <- qmp.Reply{} })
			return errors.Join(added, q.outcome(done))
		},
		"left behind": func(q *qemu, fd int) error {
			err := q.run("leaver", "add-fd", `{}`, fd)
			q.Forget("leaver")
			_, answered := q.monitor.Execute(context.Background(), qmp.Command{Name: "query-name"}) // after the removal
			return errors.Join(err, answered)
		},
		"of a set that stays": func(q *qemu, fd int) error {
			if err := q.run("a", "add-fd", `{"fdset-id":5}`, fd); err != nil {
				return err
			}
			return q.run("a", "remove-fd", fmt.Sprintf(`{"fdset-id":5,"fd":%d}`, q.Last()))
		},
	} {
		t.Run(name, func(t *testing.T) {
			q := newQEMU(t)
			fd := q.null()
			q.mustRun("a", "add-fd", `{"fdset-id":5}`, fd)
			q.runs.Store(false)
			for i := range most {
				if err := once(q, fd); err != nil {
					t.Fatalf("%d: %v", i, err)
				}
			}
			if err := once(q, fd); !errors.Is(err, fdpass.ErrLimit) || !strings.Contains(err.Error(), "resume the guest") {
				t.Errorf("one more: %v, want ErrLimit", err)
			}
			q.runs.Store(true)
			q.Heard(q.monitor, "RESUME")
			rig.Eventually(t, "there is room again", func() bool { return once(q, fd) == nil })
		})
	}
}

// TestCheckArguments has arguments that differ from QEMU's in the case of their names, are none of the command's, null, or of another type.
func TestCheckArguments(t *testing.T) {
	for _, test := range []struct{ command, arguments, want string }{
		{"add-fd", `{"fdset-id":1,"opaque":"x"}`, ""},
		{"add-fd", `{"FDSET-ID":1}`, `add-fd: there is no "FDSET-ID"`},
		{"add-fd", `{"fdset-id":1,"Fdset-Id":2}`, `add-fd: there is no "Fdset-Id"`},
		{"add-fd", `{"fd":1}`, `add-fd: there is no "fd"`},
		{"add-fd", `{"fdset-id":null}`, "add-fd.fdset-id: this is not an integer"},
		{"add-fd", `{"fdset-id":1.5}`, "add-fd.fdset-id: this is not an integer"},
		{"add-fd", `{"opaque":1}`, "add-fd.opaque: this is not a string"},
		{"remove-fd", `{"fdset-id":1,"fd":2}`, ""},
		{"remove-fd", `{"fdset-id":1,"fd":"2"}`, "remove-fd.fd: this is not an integer"},
		{"getfd", `{"fdname":"x"}`, ""},
		{"getfd", `{"fdname":null}`, "getfd.fdname: this is not a string"},
		{"closefd", `{"Fdname":"x"}`, `closefd: there is no "Fdname"`},
		{"stop", `{"Fdname":"x"}`, ""},
	} {
		err := fdpass.CheckArguments(test.command, []byte(test.arguments))
		var wrong *schema.ArgumentError
		if err == nil && test.want != "" || err != nil && (!errors.As(err, &wrong) || err.Error() != test.want) {
			t.Errorf("CheckArguments(%s %s) = %v, want %q", test.command, test.arguments, err, test.want)
		}
	}
	if err := fdpass.CheckArguments("getfd", nil); err != nil {
		t.Error(err)
	}
}
