package turns

import "time"

// Rests are those who may not have a turn now, each until its time. [NewRests] makes them. Like a List, they are not safe for
// concurrent use, and have no limit.
type Rests[K comparable] struct {
	until map[K]time.Time
	alarm *time.Timer // for the first of them
}

// NewRests has over called, on a goroutine of its own, whenever somebody's time is over: it is to call End.
func NewRests[K comparable](over func()) Rests[K] {
	alarm := time.AfterFunc(time.Hour, over)
	alarm.Stop()
	return Rests[K]{map[K]time.Time{}, alarm}
}

// Begin has k rest for so long from now on, whatever was said before.
func (r *Rests[K]) Begin(k K, d time.Duration) {
	r.until[k] = time.Now().Add(d)
	r.set()
}

// End has those rest no more whose time is over.
func (r *Rests[K]) End() {
	for k, until := range r.until {
		if time.Until(until) <= 0 {
			delete(r.until, k)
		}
	}
	r.set()
}

// Resting tells whether k rests.
func (r *Rests[K]) Resting(k K) bool {
	_, resting := r.until[k]
	return resting
}

// Forget has k rest no more.
func (r *Rests[K]) Forget(k K) { delete(r.until, k) }

// Stop has over called no more, unless that is under way, up to the next Begin or End.
func (r *Rests[K]) Stop() { r.alarm.Stop() }

// set sets the alarm for the first that ends.
func (r *Rests[K]) set() {
	r.alarm.Stop()
	first := time.Duration(-1)
	for _, until := range r.until {
		if d := max(time.Until(until), 0); first < 0 || d < first {
			first = d
		}
	}
	if first >= 0 {
		r.alarm.Reset(first)
	}
}
