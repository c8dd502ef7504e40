package helper_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"qmp-dbus-bridge/bridge/helper"
)

// look looks, and returns when it has been told, with how long that took.
func (r *rig) look() (view helper.View, took time.Duration) {
	began := time.Now()
	told := make(chan helper.View)
	r.Look(func(v helper.View) { go func() { told <- v }() })
	view = <-told
	return view, time.Since(began)
}

// ids are the Ids of those who queue.
func ids(v helper.View) (list []string) {
	for _, h := range v.Queue {
		list = append(list, h.ID)
	}
	return list
}

// TestLook has who looks see the queue as it is, with Ids that have changed, without a change on the bus.
func TestLook(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.bus.set(func() { r.bus.names = map[string][]string{":1.9": {"org.qemu.Helper1.a"}} })
		view, took := r.look()
		if !view.Known || len(view.Queue) != 0 || took != 0 {
			t.Errorf("looked at nobody for %v: %+v", took, view)
		}
		r.queues(":1.1", "a", ":1.2", "b", ":1.3", fail)
		for _, want := range [][]string{{"a", "b", ""}, {"a", "c", ""}} {
			view, took = r.look()
			if diff := cmp.Diff(want, ids(view)); diff != "" || took != 0 || !view.Known {
				t.Errorf("looked for %v, known %v (-want +got):\n%s", took, view.Known, diff)
			}
			r.bus.set(func() { r.bus.ids[":1.2"] = "c" })
		}
		wantShown(t, r, `_3a1_2e3=:1.3 "" :1.3 1000`, `a=:1.1 "a" :1.1 1000`, `c=:1.2 "c" :1.2 1000`, `org_2eqemu_2eHelper1_2ea=:1.9 "" org.qemu.Helper1.a 1000`)
	})
}

// TestLookAtSilent has one that no longer answers: the first who looks waits for it, who comes then does not.
func TestLookAtSilent(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.queues(":1.1", "a", ":1.2", "b")
		r.Poke()
		time.Sleep(soon)
		r.bus.set(func() { r.bus.ids[":1.1"] = hang })
		for _, want := range []time.Duration{helper.Patience, 0} {
			view, took := r.look()
			if diff := cmp.Diff([]string{"", "b"}, ids(view)); diff != "" || took != want {
				t.Errorf("looked for %v, want %v (-want +got):\n%s", took, want, diff)
			}
		}
		r.bus.answer(":1.1", "a")
		r.bus.set(func() { r.bus.ids[":1.1"] = "a" })
		if view, _ := r.look(); !cmp.Equal(ids(view), []string{"a", "b"}) {
			t.Errorf("seen %v, want that it answers again", ids(view))
		}
	})
}

// TestLookUnread has the queue not to be had, at once, or ever.
func TestLookUnread(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.queues(":1.1", "a")
		r.bus.set(func() { r.bus.unread = errors.New("denied") })
		if view, took := r.look(); view.Known || view.Queue != nil || took != 0 {
			t.Errorf("looked for %v: %+v", took, view)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		silent := &silentBus{}
		f := helper.New(helper.Config{Bus: silent})
		r := &rig{Follower: f}
		if view, took := r.look(); view.Known || took != 2*helper.Patience {
			t.Errorf("looked for %v: %+v", took, view)
		}
		f.Close()
		if view, took := r.look(); view.Known || took != 0 {
			t.Errorf("looked for %v when it was closed: %+v", took, view)
		}
	})
}

// silentBus never tells the queue.
type silentBus struct{ fakeBus }

func (*silentBus) Queue(func([]string, error)) error { return nil }

// TestLooksTogether has several look at once, and one be closed while they do.
func TestLooksTogether(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.queues(":1.1", hang)
		told := make(chan helper.View, 3)
		for range 3 {
			r.Look(func(v helper.View) {
				r.Gone(":1.5") // no lock is held
				told <- v
			})
		}
		synctest.Wait()
		if len(told) > 0 {
			t.Error("told before it answers")
		}
		r.bus.answer(":1.1", "a")
		for range 3 {
			if v := <-told; !cmp.Equal(ids(v), []string{"a"}) {
				t.Errorf("seen %v", ids(v))
			}
		}
		r.Look(func(v helper.View) { told <- v })
		synctest.Wait()
		r.Close()
		if v := <-told; v.Known {
			t.Errorf("seen when it was closed: %+v", v)
		}
	})
}

// TestLookUntold has some tell no Id, and who looks see why.
func TestLookUntold(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.queues(":1.1", "a", ":1.2", "", ":1.3", hang, ":1.4", fail, ":1.5", denied, ":1.6", strings.Repeat("x", helper.MaxID+1))
		view, _ := r.look()
		var got []string
		for _, s := range view.Queue {
			got = append(got, s.Untold)
		}
		want := []string{"", "no Id: it is empty", "no answer", "no Id: no such property", "no Id: access is denied", "no Id: it has 256 bytes, over 255"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("untold (-want +got):\n%s", diff)
		}
	})
}

// TestLookUnseen has as many queue as are looked at, of one user, of all and of the whole bus, and one more; and one of whom nobody knows
// whose it is.
func TestLookUnseen(t *testing.T) {
	for name, test := range map[string]struct {
		helpers int
		user    func(n int) uint32
		unseen  int
	}{
		"of one user":       {helper.MaxOfUser, func(int) uint32 { return 7 }, 0},
		"one more":          {helper.MaxOfUser + 1, func(int) uint32 { return 7 }, 1},
		"of all":            {helper.MaxHelpers, func(n int) uint32 { return uint32(10 + n) }, 0},
		"one more of all":   {helper.MaxHelpers + 1, func(n int) uint32 { return uint32(10 + n) }, 1},
		"whose is it":       {1, func(int) uint32 { return nobody }, 1},
		"more than is read": {helper.MaxSeen + 1, func(n int) uint32 { return uint32(10 + n) }, helper.MaxSeen + 1 - helper.MaxHelpers},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, r *rig) {
				for n := range test.helpers {
					unique := fmt.Sprintf(":1.%d", n)
					r.bus.set(func() { r.bus.uids[unique] = test.user(n) })
					r.queues(unique, unique)
				}
				view, _ := r.look()
				if view.Unseen != test.unseen || len(view.Queue) != test.helpers-test.unseen {
					t.Errorf("%d are seen, %d not, want %d", len(view.Queue), view.Unseen, test.unseen)
				}
			})
		})
	}
}
