package rig

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"time"
)

var errEnded = errors.New("the process has ended")

// output collects what a process prints and wakes those that wait for a text.
type output struct {
	mu      sync.Mutex // guards all below: the writer and waiters are different goroutines
	buf     bytes.Buffer
	ended   bool
	changed chan struct{} // closed and replaced at each write
}

func newOutput() *output { return &output{changed: make(chan struct{})} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.wake()
	return o.buf.Write(p)
}

// end says that nothing more will come.
func (o *output) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended = true
	o.wake()
}

func (o *output) wake() {
	close(o.changed)
	o.changed = make(chan struct{})
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

func (o *output) wait(text string, patience time.Duration) error {
	deadline := time.After(patience)
	for {
		found, ended, changed := o.look(text)
		if found {
			return nil
		}
		if ended {
			return errEnded
		}
		select {
		case <-changed:
		case <-deadline:
			return fmt.Errorf("not within %v", patience)
		}
	}
}

func (o *output) look(text string) (found, ended bool, changed <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return bytes.Contains(o.buf.Bytes(), []byte(text)), o.ended, o.changed
}
