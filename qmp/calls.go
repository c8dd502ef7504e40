package qmp

import (
	"bytes"
	"fmt"

	"golang.org/x/sys/unix"
)

// What may be in flight and what may wait for that.
const (
	// MaxInBand is one less than QEMU's queue of 8 (QMP_REQ_QUEUE_LEN_MAX); at 8
	// QEMU stops reading, also what is out of band.
	MaxInBand = 7

	// MaxOutOfBand is ours; QEMU executes them as it reads them.
	MaxOutOfBand = 8

	// MaxWaiting and MaxWaitingBytes (of arguments) limit what waits in the Conn.
	MaxWaiting      = 1024
	MaxWaitingBytes = 16 << 20
)

// calls knows which commands are in flight and which wait to be.
type calls struct {
	slots        [1 + MaxInBand + MaxOutOfBand]call // by id; the first is for the one without
	inBand, oob  lane
	carrying     bool // file descriptors are on their way to the command in flight that takes them
	inFlight     int
	waiting      int
	waitingBytes int
}

// lane is a line of commands that keep their order among themselves.
type lane struct {
	limit    int
	inFlight int
	waiting  []call
}

// call is a command and who wants its reply.
type call struct {
	Command                // Arguments are nil once sent, our own copy before
	done       func(Reply) // never nil in a call that is one
	lane       *lane
	sent, quit bool
}

// ready tells whether k may be sent now: not past its lane's limit, and in band nothing while file descriptors are on their way. What
// is out of band goes ahead, since it is for a QEMU that answers nothing else, unless it brings some itself.
func (c *calls) ready(k *call) bool {
	return k.lane.inFlight < k.lane.limit && !(c.carrying && (k.lane == &c.inBand || k.TakesFDs()))
}

// claim finds the id under which k is sent: none if that is free and k in band,
// else the lowest, for its length. There is always one, as many as the lanes hold.
func (c *calls) claim(k *call) int {
	id := 0
	if k.lane == &c.oob {
		id = 1
	}
	for c.slots[id].done != nil {
		id++
	}
	c.slots[id] = *k
	c.inFlight++
	k.lane.inFlight++
	if k.TakesFDs() {
		c.carrying = true
	}
	return id
}

// release gives back the id and what was sent under it; false if nothing was.
func (c *calls) release(id int) (call, bool) {
	if id < 0 || id >= len(c.slots) || c.slots[id].done == nil {
		return call{}, false
	}
	k := c.slots[id]
	c.slots[id] = call{}
	c.inFlight--
	k.lane.inFlight--
	if k.TakesFDs() {
		c.carrying = false
	}
	return k, true
}

// wait puts k, with a copy of its arguments, at the end of its lane.
func (c *calls) wait(k call) error {
	if c.waiting+1 > MaxWaiting || c.waitingBytes+len(k.Arguments) > MaxWaitingBytes {
		return fmt.Errorf("%w: %d with %d bytes of arguments", ErrFull, c.waiting, c.waitingBytes)
	}
	k.Arguments = bytes.Clone(k.Arguments)
	k.lane.waiting = append(k.lane.waiting, k)
	c.waiting++
	c.waitingBytes += len(k.Arguments)
	return nil
}

// next takes a call off the front of the lane if it may be sent now.
func (c *calls) next(l *lane) (call, bool) {
	if len(l.waiting) == 0 || !c.ready(&l.waiting[0]) {
		return call{}, false
	}
	k := l.waiting[0]
	l.waiting[0] = call{}
	if l.waiting = l.waiting[1:]; len(l.waiting) == 0 {
		l.waiting = nil
	}
	c.waiting--
	c.waitingBytes -= len(k.Arguments)
	return k, true
}

// abandon gives all calls, those in flight first, and forgets them.
func (c *calls) abandon() []call {
	var all []call
	for id := range c.slots {
		if k, ok := c.release(id); ok {
			all = append(all, k)
		}
	}
	for _, l := range []*lane{&c.inBand, &c.oob} {
		all = append(all, l.waiting...)
		l.waiting = nil
	}
	c.waiting, c.waitingBytes = 0, 0
	return all
}

func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}
