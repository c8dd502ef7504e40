package rest_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"qmp-dbus-bridge/cmd/rest"
)

// kept keeps what work allocates from being left out.
var kept []byte

// work allocates so many bytes.
func work(bytes int) { kept = make([]byte, bytes) }

func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var releases atomic.Int32
		stop := rest.Watch(func() { releases.Add(1) })
		defer stop()
		expect := func(what string, want int32) {
			t.Helper()
			synctest.Wait()
			if got := releases.Swap(0); got != want {
				t.Errorf("%s: %d releases, want %d", what, got, want)
			}
		}
		expect("before the start has settled", 0)
		time.Sleep(time.Second)
		expect("after a start", 1)
		time.Sleep(time.Minute)
		expect("at rest", 0)
		for range 20 {
			work(2 << 20)
			time.Sleep(5 * time.Second)
		}
		expect("under load", 0)
		time.Sleep(20 * time.Second)
		expect("after a load", 1)
		time.Sleep(time.Minute)
		expect("at rest again", 0)
		work(512 << 10)
		time.Sleep(time.Minute)
		expect("after a little work", 0)
		work(768 << 10)
		time.Sleep(20 * time.Second)
		expect("after a little more", 1)
	})
}

// TestWatchStops is that stop waits for a release, after which there is none.
func TestWatchStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var done atomic.Bool
		stop := rest.Watch(func() {
			time.Sleep(time.Minute)
			done.Store(true)
		})
		time.Sleep(2 * time.Second)
		stop()
		if !done.Load() {
			t.Error("stop did not wait for the release")
		}
	})
}
