package endpoint

import "time"

// rests are the accounts whose large calls may not start now, each until its time.
type rests struct {
	until map[*account]time.Time
	alarm *time.Timer // for the first of them
}

// newRests has over called when one ends.
func newRests(over func()) rests {
	alarm := time.AfterFunc(time.Hour, over)
	alarm.Stop()
	return rests{map[*account]time.Time{}, alarm}
}

// begin has an account rest for so long.
func (r *rests) begin(a *account, d time.Duration) {
	r.until[a] = time.Now().Add(d)
	r.set()
}

// end has those rest no more whose time is over.
func (r *rests) end() {
	for a, until := range r.until {
		if time.Until(until) <= 0 {
			delete(r.until, a)
		}
	}
	r.set()
}

// set sets the alarm for the first that ends.
func (r *rests) set() {
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

// awake tells whether a large call of s may start.
func (r *rests) awake(s *sender) bool {
	_, resting := r.until[s.account]
	return !resting
}
