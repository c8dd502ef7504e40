package turns_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"qmp-dbus-bridge/bridge/turns"
)

// resters are Rests with who keeps them, from a moment on.
type resters struct {
	*testing.T
	began time.Time
	mu    sync.Mutex // guards what follows
	rests turns.Rests[string]
	told  []time.Duration
}

// over is called when somebody's time is over.
func (r *resters) over() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.told = append(r.told, time.Since(r.began))
	r.rests.End()
}

func (r *resters) do(f func(*turns.Rests[string])) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(&r.rests)
}

// at waits until so much time has passed, and checks who rests then.
func (r *resters) at(passed time.Duration, want string) {
	r.Helper()
	time.Sleep(passed - time.Since(r.began))
	synctest.Wait()
	var got strings.Builder
	r.do(func(rests *turns.Rests[string]) {
		for _, k := range []string{"a", "b", "c", "d", "e"} {
			if rests.Resting(k) {
				got.WriteString(k)
			}
		}
	})
	if got.String() != want {
		r.Errorf("after %v %q rest, want %q", passed, got.String(), want)
	}
}

// TestRests has several rest: each until its time and no longer, which is told at that moment.
func TestRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &resters{T: t, began: time.Now()}
		r.rests = turns.NewRests[string](r.over)
		r.at(0, "")
		r.do(func(rests *turns.Rests[string]) {
			rests.Begin("a", 3*time.Second)
			rests.Begin("b", time.Second)
			rests.Begin("c", 2*time.Second)
			rests.Begin("d", 2*time.Second)
			rests.Begin("d", 4*time.Second) // instead
			rests.Begin("e", 0)
		})
		r.at(time.Second-1, "abcd")
		r.at(time.Second, "acd")
		r.at(2*time.Second, "ad")
		r.do(func(rests *turns.Rests[string]) { rests.Forget("a") })
		r.at(2*time.Second, "d")
		r.at(4*time.Second, "")
		r.do(func(rests *turns.Rests[string]) {
			rests.Begin("a", time.Second)
			rests.Stop()
		})
		r.at(time.Minute, "a") // nobody was told
		r.do((*turns.Rests[string]).End)
		r.at(time.Minute, "")
		want := []time.Duration{0, time.Second, 2 * time.Second, 3 * time.Second, 4 * time.Second}
		if !slices.Equal(r.told, want) {
			t.Errorf("told after %v, want %v", r.told, want)
		}
	})
}
