package inventory

import (
	"encoding/json"
	"slices"
	"strings"
)

// MaxKept is how many jobs are kept that QEMU has no more: those that ended last. A VM with 64 disks may have a backup of each.
const MaxKept = 64

// Ledger is what the jobs of one QEMU are: by what it answers to query-jobs, and by what events and commands tell besides. That
// is who started a job, and when; and how it ended, of one that QEMU dismisses by itself as soon as it has, as it does with those of
// block devices unless it is told not to. Such a job is kept until Dismiss, until another has its id, or until MaxKept
// have ended since.
//
// QEMU must be asked and heard in the order in which it speaks. The zero value has heard nothing. Not for concurrent use.
type Ledger struct {
	last  Reading         // what was read last, without the items
	told  map[string]Item // what was read last of the jobs that QEMU has, by id
	runs  map[string]*run // of the jobs that it has or that are kept, by id, as far as events told of them
	kept  []string        // ids of the runs that it has no more, in the order of their ends
	count uint64          // of all runs
}

// run is a job from beginning to end. Another job with its id is another run.
type run struct {
	number    uint64
	startedBy uint32
	startTime uint64
	read      bool  // QEMU has answered query-jobs since it began
	ended     bool  // there was an event of that
	end       *Item // as an event told of it; nil when QEMU tells it
	kept      bool  // QEMU has it no more
}

// jobEvent is the data of the events that tell of jobs. Those of block devices call the id device.
type jobEvent struct {
	ID     string `json:"id"`
	Status string `json:"status"`
	Device string `json:"device"`
	Type   string `json:"type"`
	Offset int64  `json:"offset"`
	Length int64  `json:"len"`
	Error  string `json:"error"`
}

// jobEvents are the events that a Ledger notes.
var jobEvents = map[string]func(l *Ledger, told jobEvent, at int64) (changed bool){
	"JOB_STATUS_CHANGE": func(l *Ledger, told jobEvent, at int64) bool {
		switch told.Status {
		case "created":
			return l.begin(told.ID, at)
		case Concluded:
			l.end(told.ID, nil)
		case "null":
			return l.forget(told.ID)
		}
		return false
	},
	"BLOCK_JOB_COMPLETED": func(l *Ledger, told jobEvent, _ int64) bool {
		return l.end(told.Device, told.outcome(told.Error))
	},
	"BLOCK_JOB_CANCELLED": func(l *Ledger, told jobEvent, _ int64) bool {
		return l.end(told.Device, told.outcome("Operation canceled")) // what query-jobs tells of one
	},
}

// JobEvent is what an event with that data and time, in microseconds, has a ledger note; nil if that is nothing. It tells
// whether Reading is another then, and keeps nothing of data.
func JobEvent(event string, data []byte, at int64) func(*Ledger) (changed bool) {
	note := jobEvents[event]
	if note == nil {
		return nil
	}
	var told jobEvent
	if json.Unmarshal(data, &told) != nil {
		return nil
	}
	return func(l *Ledger) bool { return note(l, told, at) }
}

// Read notes what QEMU answered to query-jobs, and returns what the jobs are.
func (l *Ledger) Read(told Reading) Reading {
	l.told = map[string]Item{}
	for _, item := range told.Items {
		l.told[item.ID] = item
	}
	for id, r := range l.runs {
		r.read = true
		switch _, has := l.told[id]; {
		case has && r.kept: // it is another, of which there was no event
			l.Dismiss(id)
		case has:
			r.end = nil
		case !r.kept:
			delete(l.runs, id)
		}
	}
	l.last = told
	l.last.Items = nil
	return l.Reading()
}

// Reading is what the jobs are.
func (l *Ledger) Reading() Reading {
	now := l.last
	for id, item := range l.told {
		if r := l.runs[id]; r != nil {
			item = r.item(item)
		}
		now.Items = append(now.Items, item)
	}
	for _, id := range l.kept {
		now.Items = append(now.Items, l.runs[id].item(Item{}))
	}
	slices.SortFunc(now.Items, func(a, b Item) int { return strings.Compare(a.Element, b.Element) })
	return now
}

// Start notes that a user's command has started the jobs with these ids, as soon as it has, and tells whether Reading is
// another now. Between the event of that and the answer to the command QEMU answers no other: a job that was there when it
// answered one is somebody else's.
func (l *Ledger) Start(by uint32, ids ...string) (changed bool) {
	for _, id := range ids {
		if r := l.runs[id]; r != nil && !r.read && r.startedBy == Nobody {
			r.startedBy, changed = by, true
		}
	}
	return changed
}

// Dismiss lets go of a job that is kept, and tells whether it was.
func (l *Ledger) Dismiss(id string) bool {
	i := slices.Index(l.kept, id)
	if i < 0 {
		return false
	}
	l.kept = slices.Delete(l.kept, i, i+1)
	delete(l.runs, id)
	return true
}

// begin notes that a job has been created: what had its id is no more.
func (l *Ledger) begin(id string, at int64) (changed bool) {
	changed = l.Dismiss(id)
	_, was := l.told[id]
	delete(l.told, id)
	delete(l.runs, id)
	if r := l.run(id); r != nil {
		r.startTime = uint64(max(at, 0))
	}
	return changed || was
}

// run is that of a job which QEMU has, or nil if it can't be shown or there are too many.
func (l *Ledger) run(id string) *run {
	if r := l.runs[id]; r != nil {
		return r
	}
	if id == "" || len(id) > MaxName || len(l.runs) == MaxItems+MaxKept {
		return nil
	}
	if l.runs == nil {
		l.runs = map[string]*run{}
	}
	l.count++
	r := &run{number: l.count, startedBy: Nobody}
	l.runs[id] = r
	return r
}

// end notes that a job has ended, and how, if that is known.
func (l *Ledger) end(id string, how *Item) (changed bool) {
	r := l.run(id)
	if r == nil || r.kept {
		return false
	}
	r.ended = true
	if how != nil {
		r.end = how
	}
	return how != nil
}

// forget notes that QEMU has a job no more. What it has told of its end is kept.
func (l *Ledger) forget(id string) (changed bool) {
	r := l.runs[id]
	_, was := l.told[id]
	delete(l.told, id)
	switch {
	case r == nil:
		return was
	case r.end == nil:
		delete(l.runs, id)
		return was
	case r.kept:
		return false
	}
	r.kept = true
	l.kept = append(l.kept, id)
	if len(l.kept) > MaxKept {
		l.Dismiss(l.kept[0])
	}
	return true
}

// outcome is a job that has ended.
func (e jobEvent) outcome(failure string) *Item {
	item := readJob(job{ID: e.Device, Type: e.Type, Status: Concluded, Current: e.Offset, Total: e.Length, Error: failure})
	return &item
}

// item is what the run's job is, of which QEMU told this.
func (r *run) item(told Item) Item {
	if r.end != nil {
		told = *r.end
	}
	now := told
	now.Values = slices.Clone(told.Values)
	now.Values[jobStartedBy], now.Values[jobStartTime] = Number(uint64(r.startedBy)), Number(r.startTime)
	if r.ended && told.Values[jobStatus] == Text(Concluded) {
		now.End = r.number
	}
	return now
}
