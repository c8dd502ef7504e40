package helper

import (
	"cmp"
	"errors"
	"log/slog"
	"math/bits"
	"slices"
	"strings"
	"sync"
	"time"
)

// Patience is how long a helper may take to tell its Id before it is shown without. One that works needs some milliseconds, on a
// busy machine more; QEMU waits 25 s, and its guest stands still meanwhile.
const Patience = 2 * time.Second

var (
	// ErrPending is what Bus.UID returns while the user is being looked up.
	ErrPending = errors.New("not known yet")
	// ErrDenied is what Bus.ID is answered with where the bus does not let the question pass, or the helper says so.
	ErrDenied = errors.New("access is denied")
)

// Bus is what a Follower asks. No method blocks, or calls what it is given before it returns.
type Bus interface {
	// Queue asks for the unique names that own or queue for VMStateName, in that order. done is called once, unless
	// there is an error.
	Queue(done func(names []string, err error)) error
	// ID asks a connection for its property Id at VMStatePath, for as long as it takes; as Queue.
	ID(unique string, done func(id string, err error)) error
	// UID tells who is behind a connection. When it returns ErrPending, ready is called once another try is worth it.
	UID(unique string, ready func()) (uint32, error)
	// Owners are the connections that own NamePrefix or names below, which are sorted.
	Owners() map[string][]string
}

// Config is what a Follower needs.
type Config struct {
	Bus Bus
	// Show is given all helpers that there are, by Element, when they are others than before. It must not block or call the Follower.
	Show func([]Helper)
	Log  *slog.Logger
}

// Follower knows the helpers. Its methods never block.
type Follower struct {
	config Config
	pace   *pace

	mu      sync.Mutex // guards what follows; held while the Bus is called, which does not block
	closed  bool
	peers   map[string]*peer // all that are looked at, by unique name
	order   []*peer          // the queue, and then the others
	open    map[string]*peer // those that have a question to answer, by unique name, also when they are looked at no more
	beyond  int              // how many of the queue are not looked at
	reading bool             // the queue's answer is awaited
	looks   []*look
	shown   []Helper
	unread  bool   // the queue could not be read the last time
	denied  bool   // that was logged once
	over    int    // how many were not shown the last time
	overs   uint64 // how often that began
}

// New makes a Follower, which asks nothing before it is poked.
func New(config Config) *Follower {
	f := &Follower{config: config, peers: map[string]*peer{}, open: map[string]*peer{}}
	f.pace = newPace(func() { f.do(f.wake) })
	return f
}

// Poke says that something has changed on the bus.
func (f *Follower) Poke() { f.pace.hurry() }

// Gone says that a connection has left the bus.
func (f *Follower) Gone(unique string) { f.pace.note(unique) }

// wake takes note of who has gone, and reads the queue if that is due.
func (f *Follower) wake() {
	gone, due := f.pace.take()
	for _, unique := range gone {
		delete(f.open, unique)
		if p := f.peers[unique]; p != nil {
			f.drop(p)
			f.order = slices.DeleteFunc(f.order, func(other *peer) bool { return other == p })
		}
	}
	if due {
		f.read()
	}
}

// Close ends it: nothing more is asked or shown, and who looks is told that nothing is known.
func (f *Follower) Close() {
	f.do(func() {
		f.closed = true
		f.pace.stop()
		for _, p := range f.order {
			f.drop(p)
		}
		f.order = nil
		clear(f.open)
	})
}

// do changes something, and then does what follows from that. Those who look are told without the lock.
func (f *Follower) do(step func()) {
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return
	}
	step()
	if !f.closed {
		f.settle()
	}
	told := f.finish()
	f.mu.Unlock()
	for _, tell := range told {
		tell()
	}
}

// read asks for the queue.
func (f *Follower) read() {
	if f.reading {
		return // then it is read again when it has been
	}
	f.reading = true
	for _, l := range f.looks {
		l.begun = true
	}
	err := f.config.Bus.Queue(func(names []string, err error) { f.do(func() { f.listed(names, err) }) })
	if err != nil {
		f.listed(nil, err)
	}
}

// listed takes in the queue, and who has names. A queue that could not be read is taken to be as it was.
func (f *Follower) listed(names []string, err error) {
	f.reading = false
	if f.unread = f.unread && err != nil; err != nil && !f.unread {
		f.unread = true
		f.config.Log.Warn("the helpers whose state migrates are not known: the queue for "+VMStateName+" can't be read", "error", err)
	}
	if err != nil {
		names = f.queue()
	}
	f.sort(names, f.config.Bus.Owners())
	anew := false
	for _, l := range f.looks {
		if l.begun && !l.listed {
			l.listed, anew = true, true
		}
	}
	for _, p := range f.order {
		f.identify(p)
		p.wanted = p.queued && (anew && err == nil || p.id == "")
	}
	f.pace.slow()
	if slices.ContainsFunc(f.looks, func(l *look) bool { return !l.begun }) {
		f.read()
	}
}

// queue are those that queued when that was known last, and are still there.
func (f *Follower) queue() (names []string) {
	for _, p := range f.order {
		if p.queued {
			names = append(names, p.unique)
		}
	}
	return names
}

// sort makes the queue, and then those that have names alone, the ones that are looked at.
func (f *Follower) sort(queue []string, owners map[string][]string) {
	before := f.peers
	f.peers, f.order, f.beyond = map[string]*peer{}, nil, 0
	add := func(unique string, queued bool) {
		if f.peers[unique] != nil {
			return
		}
		if len(f.order) == MaxSeen {
			if queued {
				f.beyond++
			}
			return
		}
		p := cmp.Or(before[unique], f.open[unique])
		if p == nil {
			p = &peer{unique: strings.Clone(unique)}
		}
		p.name = unique
		if names := owners[unique]; len(names) > 0 {
			p.name = names[0]
		}
		if p.queued = queued; !queued {
			p.id, p.settled = "", p.late // should it queue again
		}
		f.peers[p.unique] = p
		f.order = append(f.order, p)
	}
	for _, unique := range queue {
		add(unique, true)
	}
	for _, unique := range byAge(owners) {
		add(unique, false)
	}
	for unique, p := range before {
		if f.peers[unique] == nil {
			f.drop(p)
		}
	}
}

// byAge are the connections with names, the oldest first: unique names count up.
func byAge(owners map[string][]string) (list []string) {
	for unique := range owners {
		list = append(list, unique)
	}
	slices.SortFunc(list, func(a, b string) int {
		if len(a) != len(b) {
			return len(a) - len(b)
		}
		return strings.Compare(a, b)
	})
	return list
}

// settle asks who is to be asked, and shows the helpers if they are others.
func (f *Follower) settle() {
	var list []Helper
	over, ofUser := 0, map[uint32]int{}
	admitted := 0
	for _, p := range f.order {
		if !p.identified {
			continue
		}
		p.admitted = admitted < MaxHelpers && ofUser[p.uid] < MaxOfUser
		if !p.admitted {
			over++
			continue
		}
		admitted++
		ofUser[p.uid]++
		f.ask(p)
		if !p.queued || p.settled {
			list = append(list, Helper{Unique: p.unique, BusName: p.name, UID: p.uid, ID: p.id})
		}
	}
	f.noteOver(over)
	place(list)
	slices.SortFunc(list, func(a, b Helper) int { return strings.Compare(a.Element, b.Element) })
	if !slices.Equal(list, f.shown) {
		f.shown = list
		f.config.Show(list)
	}
}

// noteOver logs that there are more helpers than are shown: when that begins, and as often as it has doubled.
func (f *Follower) noteOver(over int) {
	if over > 0 && f.over == 0 {
		if f.overs++; bits.OnesCount64(f.overs) == 1 {
			f.config.Log.Warn("more helpers are on the bus than are shown", "over", over, "most", MaxHelpers, "most_of_a_user", MaxOfUser, "count", f.overs)
		}
	}
	f.over = over
}
