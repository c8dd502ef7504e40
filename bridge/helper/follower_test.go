package helper_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"qmp-dbus-bridge/bridge/helper"
)

func wantShown(t *testing.T, r *rig, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, r.list()); diff != "" {
		t.Errorf("shown (-want +got):\n%s", diff)
	}
}

// soon is when a change has been seen.
const soon = 100 * time.Millisecond

// TestFollow has helpers queue, own names, leave the queue and the bus.
func TestFollow(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.bus.set(func() { r.bus.uids[":1.5"] = 7 })
		r.bus.set(func() {
			r.bus.names = map[string][]string{":1.5": {"org.qemu.Helper1.a", "org.qemu.Helper1.b"}, ":1.10": {"org.qemu.Helper1"}, ":1.9": {"org.qemu.Helper1.c"}}
		})
		r.queues(":1.7", "tpm-0", ":1.5", "7fs")
		wantShown(t, r)
		r.Poke()
		time.Sleep(soon)
		wantShown(t, r,
			`_37fs=:1.5 "7fs" org.qemu.Helper1.a 7`,
			`org_2eqemu_2eHelper1=:1.10 "" org.qemu.Helper1 1000`,
			`org_2eqemu_2eHelper1_2ec=:1.9 "" org.qemu.Helper1.c 1000`,
			`tpm_2d0=:1.7 "tpm-0" :1.7 1000`)
		r.leaves(":1.5") // which nothing tells
		r.bus.set(func() { r.bus.names = map[string][]string{":1.5": {"org.qemu.Helper1.b"}} })
		time.Sleep(time.Minute)
		wantShown(t, r, `org_2eqemu_2eHelper1_2eb=:1.5 "" org.qemu.Helper1.b 7`, `tpm_2d0=:1.7 "tpm-0" :1.7 1000`)
		r.Gone(":1.7")
		wantShown(t, r, `org_2eqemu_2eHelper1_2eb=:1.5 "" org.qemu.Helper1.b 7`)
		r.bus.set(func() { r.bus.names = nil })
		r.leaves(":1.7")
		r.Poke()
		time.Sleep(soon)
		wantShown(t, r)
		if n := r.bus.timesAsked(":1.7"); n != 1 {
			t.Errorf("a helper that tells its Id was asked %d times", n)
		}
	})
}

// TestPace has nothing change for long, and then change all the time: the queue is read seldom, and not too often.
func TestPace(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.Poke()
		time.Sleep(time.Hour)
		reads := r.bus.timesRead()
		if reads < 119 || reads > 131 { // one in 30 s, and some at first
			t.Errorf("read %d times in an hour", reads)
		}
		for range 1000 {
			r.Poke()
			time.Sleep(time.Millisecond)
		}
		time.Sleep(soon)
		if n := r.bus.timesRead() - reads; n < 10 || n > 23 {
			t.Errorf("read %d times in a second of changes", n)
		}
	})
}

// TestElements has Ids that others have, or that look like the paths of others: each helper has a path of its own.
func TestElements(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.bus.set(func() { r.bus.names = map[string][]string{":1.9": {"org.qemu.Helper1.a"}} })
		r.queues(":1.1", "same", ":1.2", "same", ":1.3", "same:1.2", ":1.4", ":1.5", ":1.5", fail, ":1.6", "org.qemu.Helper1.a")
		r.Poke()
		time.Sleep(soon)
		wantShown(t, r,
			`_3a1_2e5=:1.4 ":1.5" :1.4 1000`,
			`_3a1_2e5__3a1_2e5=:1.5 "" :1.5 1000`,
			`org_2eqemu_2eHelper1_2ea=:1.6 "org.qemu.Helper1.a" :1.6 1000`,
			`org_2eqemu_2eHelper1_2ea__3a1_2e9=:1.9 "" org.qemu.Helper1.a 1000`,
			`same=:1.1 "same" :1.1 1000`,
			`same_3a1_2e2=:1.3 "same:1.2" :1.3 1000`,
			`same__3a1_2e2=:1.2 "same" :1.2 1000`)
		r.leaves(":1.1")
		r.Gone(":1.1")
		if list := strings.Join(r.list(), "\n"); !strings.Contains(list, `same=:1.2 "same"`) || strings.Contains(list, "same__") {
			t.Errorf("the second of an Id does not take the first one's place:\n%s", list)
		}
	})
}

// TestIDs has Ids of the largest size and one over, and none: what QEMU would not take is not told.
func TestIDs(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		most := strings.Repeat("x", helper.MaxID)
		r.queues(":1.1", most, ":1.2", most+"x", ":1.3", "")
		r.Poke()
		time.Sleep(soon)
		wantShown(t, r, `_3a1_2e2=:1.2 "" :1.2 1000`, `_3a1_2e3=:1.3 "" :1.3 1000`, most+`=:1.1 "`+most+`" :1.1 1000`)
	})
}

// TestSilent has one that does not answer: it is shown without an Id when it is late, asked once, and holds up nobody. It may
// still answer, unless it has left.
func TestSilent(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.queues(":1.1", hang, ":1.2", "other", ":1.3", hang)
		r.Poke()
		time.Sleep(soon)
		wantShown(t, r, `other=:1.2 "other" :1.2 1000`)
		time.Sleep(helper.Patience)
		wantShown(t, r, `_3a1_2e1=:1.1 "" :1.1 1000`, `_3a1_2e3=:1.3 "" :1.3 1000`, `other=:1.2 "other" :1.2 1000`)
		time.Sleep(time.Hour)
		if n := r.bus.timesAsked(":1.1"); n != 1 {
			t.Errorf("one that does not answer was asked %d times", n)
		}
		r.Gone(":1.3")
		r.leaves(":1.3")
		r.bus.answer(":1.3", "late")
		r.bus.answer(":1.1", "awake")
		wantShown(t, r, `awake=:1.1 "awake" :1.1 1000`, `other=:1.2 "other" :1.2 1000`)
	})
}

// TestSilentComesBack has one that does not answer leave the queue and come back, over and over: it is asked once, and shown without an
// Id; when it has answered meanwhile, it is asked again.
func TestSilentComesBack(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		shown := `_3a1_2e1=:1.1 "" :1.1 1000`
		for range 10 {
			r.queues(":1.1", hang)
			r.Poke()
			time.Sleep(helper.Patience + soon)
			wantShown(t, r, shown)
			r.leaves(":1.1")
			r.Poke()
			time.Sleep(soon)
			wantShown(t, r)
		}
		r.queues(":1.1", hang)
		r.Poke()
		time.Sleep(soon)
		wantShown(t, r, shown) // at once, as it is late
		if n := r.bus.timesAsked(":1.1"); n != 1 {
			t.Errorf("one that comes back was asked %d times", n)
		}
		r.leaves(":1.1")
		r.Poke()
		time.Sleep(soon)
		r.bus.answer(":1.1", "stale")
		wantShown(t, r)
		r.queues(":1.1", "anew")
		r.Poke()
		time.Sleep(soon)
		wantShown(t, r, `anew=:1.1 "anew" :1.1 1000`)
	})
}

// TestMaxOpen has as many of one user as may be silent leave the queue, and two more come: these are not asked, and another user's is,
// until one has answered and one has gone.
func TestMaxOpen(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		for n := range helper.MaxOpen {
			unique := fmt.Sprintf(":1.%d", n)
			r.queues(unique, hang)
			r.Poke()
			time.Sleep(soon)
			if asked := r.bus.timesAsked(unique); asked != 1 {
				t.Errorf("%d of a user: asked %d times", n+1, asked)
			}
			r.leaves(unique)
		}
		r.bus.set(func() { r.bus.uids[":3.1"] = 7 })
		r.queues(":2.1", hang, ":2.2", "b", ":3.1", "other")
		view, took := r.look()
		if diff := cmp.Diff([]string{"", "", "other"}, ids(view)); diff != "" || took != 0 || view.Queue[0].Untold != "not asked: others of its user do not answer" {
			t.Errorf("looked for %v, seen %+v (-want +got):\n%s", took, view, diff)
		}
		r.bus.answer(":1.0", "x")
		r.Poke()
		time.Sleep(soon)
		if first, second := r.bus.timesAsked(":2.1"), r.bus.timesAsked(":2.2"); first != 1 || second != 0 {
			t.Errorf("asked %d and %d times, want the first", first, second)
		}
		wantShown(t, r, `_3a2_2e1=:2.1 "" :2.1 1000`, `_3a2_2e2=:2.2 "" :2.2 1000`, `other=:3.1 "other" :3.1 7`)
		r.Gone(":1.1")
		r.Poke()
		time.Sleep(soon)
		wantShown(t, r, `_3a2_2e1=:2.1 "" :2.1 1000`, `b=:2.2 "b" :2.2 1000`, `other=:3.1 "other" :3.1 7`)
	})
}

// TestDenied has a bus that lets nobody be asked: the log tells once.
func TestDenied(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.queues(":1.1", fail)
		r.Poke()
		time.Sleep(time.Minute)
		if log := r.log(); log != "" {
			t.Errorf("logged %q of one that fails", log)
		}
		r.queues(":1.2", denied, ":1.3", denied)
		time.Sleep(time.Hour)
		if log := r.log(); strings.Count(log, "\n") != 1 || !strings.Contains(log, helper.VMStatePath) {
			t.Errorf("logged %q, want one line", log)
		}
	})
}

// TestRefusing has one that is in the queue before it has its object: it is asked again.
func TestRefusing(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.queues(":1.1", fail)
		r.Poke()
		time.Sleep(soon)
		wantShown(t, r, `_3a1_2e1=:1.1 "" :1.1 1000`)
		r.bus.set(func() { r.bus.ids[":1.1"] = "ready" })
		time.Sleep(time.Minute)
		wantShown(t, r, `ready=:1.1 "ready" :1.1 1000`)
	})
}

// TestNobody has one whose user is not known: it is not shown, or asked.
func TestNobody(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.bus.set(func() { r.bus.uids[":1.1"] = nobody })
		r.queues(":1.1", "a", ":1.2", "b")
		r.Poke()
		time.Sleep(soon)
		wantShown(t, r, `b=:1.2 "b" :1.2 1000`)
		if n := r.bus.timesAsked(":1.1"); n != 0 {
			t.Errorf("it was asked %d times", n)
		}
	})
}

// TestMaxHelpers has as many helpers of one user, and of all, as are shown, and one more.
func TestMaxHelpers(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		enter := func(uid uint32, n int) {
			unique := fmt.Sprintf(":%d.%d", uid, n)
			r.bus.set(func() { r.bus.uids[unique] = uid })
			r.queues(unique, unique)
		}
		count := func(want int) {
			t.Helper()
			r.Poke()
			time.Sleep(soon)
			if n := len(r.list()); n != want {
				t.Errorf("%d helpers are shown, want %d", n, want)
			}
		}
		for n := range helper.MaxOfUser {
			enter(10, n)
		}
		count(helper.MaxOfUser)
		if log := r.log(); log != "" {
			t.Errorf("logged %s", log)
		}
		enter(10, helper.MaxOfUser)
		count(helper.MaxOfUser)
		if log := r.log(); strings.Count(log, "\n") != 1 || !strings.Contains(log, "over=1 ") {
			t.Errorf("logged %q, want one line about one too many", log)
		}
		for n := range helper.MaxHelpers - helper.MaxOfUser {
			enter(uint32(11+n), 0)
		}
		count(helper.MaxHelpers)
		enter(9, 0)
		count(helper.MaxHelpers)
		if r.bus.timesAsked(":9.0") > 0 {
			t.Error("one over the limit was asked")
		}
		r.Gone(":10.0")
		r.leaves(":10.0")
		count(helper.MaxHelpers) // the next of that user
	})
}

// TestMaxSeen has a queue as long as is looked at, and longer.
func TestMaxSeen(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		for n := range helper.MaxSeen - 1 {
			unique := fmt.Sprintf(":1.%d", n)
			r.bus.set(func() { r.bus.uids[unique] = nobody })
			r.queues(unique, "x")
		}
		r.queues(":2.1", "last", ":2.2", "over")
		r.Poke()
		time.Sleep(soon)
		wantShown(t, r, `last=:2.1 "last" :2.1 1000`)
	})
}

// TestUnreadOnce has the queue not to be had for some time: who queued is shown as before, nobody is asked again, and who leaves the
// bus goes.
func TestUnreadOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.queues(":1.1", "a", ":1.2", "b")
		r.Poke()
		time.Sleep(soon)
		r.bus.set(func() {
			r.bus.unread = errors.New("denied")
			r.bus.names = map[string][]string{":1.1": {"org.qemu.Helper1.a"}, ":1.3": {"org.qemu.Helper1.b"}}
		})
		r.Poke()
		time.Sleep(soon)
		second, named := `b=:1.2 "b" :1.2 1000`, []string{`a=:1.1 "a" org.qemu.Helper1.a 1000`, `org_2eqemu_2eHelper1_2eb=:1.3 "" org.qemu.Helper1.b 1000`}
		wantShown(t, r, named[0], second, named[1])
		if view, _ := r.look(); view.Known {
			t.Errorf("seen %+v, want that it is not known", view)
		}
		r.Gone(":1.2")
		r.Poke()
		time.Sleep(soon)
		wantShown(t, r, named...)
		r.leaves(":1.2")
		r.bus.set(func() { r.bus.unread = nil })
		r.Poke()
		time.Sleep(soon)
		wantShown(t, r, named...)
		if n := r.bus.timesAsked(":1.1"); n != 1 {
			t.Errorf("asked %d times", n)
		}
	})
}

// TestUnread has a bus that does not tell the queue: names are shown all the same, and the log tells once.
func TestUnread(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.bus.set(func() { r.bus.unread = errors.New("denied") })
		r.bus.set(func() { r.bus.names = map[string][]string{":1.1": {"org.qemu.Helper1.a"}} })
		r.Poke()
		time.Sleep(time.Hour)
		wantShown(t, r, `org_2eqemu_2eHelper1_2ea=:1.1 "" org.qemu.Helper1.a 1000`)
		if log := r.log(); strings.Count(log, "\n") != 1 || !strings.Contains(log, "denied") {
			t.Errorf("logged %q, want one line", log)
		}
	})
}
