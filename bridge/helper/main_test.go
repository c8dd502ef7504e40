package helper_test

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"qmp-dbus-bridge/bridge/helper"
)

// fakeBus is a bus that answers as the test wants, on goroutines of its own.
type fakeBus struct {
	mu     sync.Mutex
	queue  []string
	unread error               // of Queue
	ids    map[string]string   // hang: no answer; fail: an error
	uids   map[string]uint32   // else 1000; nobody: unknown
	names  map[string][]string // of Owners
	asked  map[string]int
	reads  int
	hung   map[string]func(string, error) // those that wait
}

const (
	hang   = "(hangs)"
	fail   = "(fails)"
	denied = "(is denied)"
	nobody = 1
)

func (b *fakeBus) Queue(done func([]string, error)) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reads++
	queue, err := slices.Clone(b.queue), b.unread
	go done(queue, err)
	return nil
}

func (b *fakeBus) ID(unique string, done func(string, error)) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked[unique]++
	switch id := b.ids[unique]; id {
	case hang:
		b.hung[unique] = done
	case fail:
		go done("", errors.New("no such property"))
	case denied:
		go done("", helper.ErrDenied)
	default:
		go done(id, nil)
	}
	return nil
}

func (b *fakeBus) UID(unique string, ready func()) (uint32, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	uid, known := b.uids[unique]
	switch {
	case uid == nobody:
		return 0, errors.New("nobody")
	case known:
		return uid, nil
	}
	b.uids[unique] = 1000
	go ready()
	return 0, helper.ErrPending
}

func (b *fakeBus) Owners() map[string][]string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.names
}

// set changes the bus.
func (b *fakeBus) set(change func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change()
}

// answer has one that hangs answer after all.
func (b *fakeBus) answer(unique, id string) {
	b.mu.Lock()
	done := b.hung[unique]
	b.mu.Unlock()
	done(id, nil)
}

func (b *fakeBus) timesAsked(unique string) int {
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.asked[unique]
}

func (b *fakeBus) timesRead() int {
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.reads
}

// rig is a Follower on a fakeBus, in a bubble of synctest.
type rig struct {
	*helper.Follower
	bus   *fakeBus
	shown []helper.Helper // bus.mu guards it, and text
	text  strings.Builder
}

// Write takes what is logged.
func (r *rig) Write(line []byte) (int, error) {
	r.bus.mu.Lock()
	defer r.bus.mu.Unlock()
	return r.text.Write(line)
}

// log is what was logged.
func (r *rig) log() string {
	synctest.Wait()
	r.bus.mu.Lock()
	defer r.bus.mu.Unlock()
	return r.text.String()
}

// inBubble runs a test with a rig.
func inBubble(t *testing.T, test func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{bus: &fakeBus{
			ids: map[string]string{}, uids: map[string]uint32{}, asked: map[string]int{}, hung: map[string]func(string, error){},
		}}
		r.Follower = helper.New(helper.Config{
			Bus: r.bus, Log: slog.New(slog.NewTextHandler(r, nil)),
			Show: func(list []helper.Helper) { r.bus.set(func() { r.shown = list }) },
		})
		test(t, r)
		r.Close()
		synctest.Wait()
	})
}

// queues has helpers queue, each with its unique name and Id.
func (r *rig) queues(pairs ...string) {
	r.bus.mu.Lock()
	defer r.bus.mu.Unlock()
	for i := 0; i < len(pairs); i += 2 {
		r.bus.queue = append(r.bus.queue, pairs[i])
		r.bus.ids[pairs[i]] = pairs[i+1]
	}
}

// leaves has a connection leave the queue.
func (r *rig) leaves(unique string) {
	r.bus.mu.Lock()
	defer r.bus.mu.Unlock()
	r.bus.queue = slices.DeleteFunc(r.bus.queue, func(other string) bool { return other == unique })
}

// list is what is shown, each as ELEMENT=UNIQUE "ID" BUSNAME UID.
func (r *rig) list() (list []string) {
	synctest.Wait()
	r.bus.mu.Lock()
	defer r.bus.mu.Unlock()
	for _, h := range r.shown {
		list = append(list, fmt.Sprintf("%s=%s %q %s %d", h.Element, h.Unique, h.ID, h.BusName, h.UID))
	}
	return list
}
