package rest

import (
	"runtime/metrics"
	"sync"
	"time"
)

const (
	// startTime is how long after the start its memory is given back: earlier, the first
	// calls and the end of the start bring most of it in again.
	startTime = time.Second
	// lookTime is how often it is looked whether the process rests.
	lookTime = 10 * time.Second
	// quiet is how many bytes a process that rests allocates between two looks at most: some twenty calls.
	quiet = 64 << 10
	// much is how many bytes have to be allocated after one release, for the next to be worth a collection.
	much = 1 << 20
)

// Watch calls release soon after now, the end of a start, and from then on whenever the process has been busy and is no more:
// within twenty seconds. It is called on a goroutine of its own. stop ends that, and waits for a release that has begun.
func Watch(release func()) (stop func()) {
	stopped := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		look := time.NewTimer(startTime)
		defer look.Stop()
		for load := (load{}); ; look.Reset(lookTime) {
			select {
			case <-look.C:
				if load.isOver(allocated()) {
					release()
				}
			case <-stopped:
				return
			}
		}
	})
	return func() {
		close(stopped)
		all.Wait()
	}
}

// load is what a process has done, by the bytes that it has allocated. The zero value is a process that starts.
type load struct {
	looked, released uint64 // how many it were then
}

// isOver tells whether memory is to be given back now, and takes it as given back.
func (l *load) isOver(allocated uint64) bool {
	started := l.looked == 0
	busy := allocated-l.looked > quiet
	l.looked = allocated
	if !started && (busy || allocated-l.released < much) {
		return false
	}
	l.released = allocated
	return true
}

// allocated is how many bytes the process has allocated so far.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
