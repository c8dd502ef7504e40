package endpoint

import "cmp"

// Limits are what callers can make us hold. A call past one of these is answered
// LimitsExceeded and its descriptors are closed. Zero stands for the default.
type Limits struct {
	Message     int // MaxMessage, at most 16 MiB
	CallFDs     int // MaxCallFDs, at most 32
	HeldFDs     int // MaxHeldFDs, at least 64
	QueuedCalls int // MaxQueuedCalls
}

func (l Limits) withDefaults() Limits {
	return Limits{
		Message:     cmp.Or(l.Message, MaxMessage),
		CallFDs:     cmp.Or(l.CallFDs, MaxCallFDs),
		HeldFDs:     cmp.Or(l.HeldFDs, MaxHeldFDs),
		QueuedCalls: cmp.Or(l.QueuedCalls, MaxQueuedCalls),
	}
}

// queuedBytes is what the waiting calls of one sender may take: two of the largest size, or 256 of 32 KiB.
func (l *Limits) queuedBytes() int { return 2 * (l.Message + CallCost) }

// queuedFDs is how many descriptors the waiting calls of one sender may hold: those of four calls, so that it takes
// several senders to fill HeldFDs.
func (l *Limits) queuedFDs() int { return 4 * l.CallFDs }

// The defaults of Limits, and what is the same for all.
const (
	// MaxSent is the largest message that we send, in bytes: dbus-daemon disconnects
	// who sends one over its max_message_size, which is 32 MiB unless it is configured, and a little
	// more than this on the private bus. It is six times QEMU's schema.
	MaxSent = 4 << 20
	// MaxMessage is the size of one call, header and body, in bytes. Larger ones
	// are read past, not stored, and answered unless their header alone is larger.
	MaxMessage = 4 << 20
	// MaxCallFDs is how many descriptors one call may carry.
	MaxCallFDs = 16
	// MaxHeldFDs is how many descriptors all waiting calls together may hold.
	MaxHeldFDs = 256
	// MaxQueuedCalls is how many calls of one sender may wait.
	MaxQueuedCalls = 256
	// CallCost is what a waiting call counts beside the size of its message, in bytes:
	// about what the bookkeeping for it takes.
	CallCost = 512
	// MaxSenders is how many senders may have calls waiting at one time.
	MaxSenders = 1024
	// MaxQueuedTotal is what the waiting calls of all senders may take, in bytes.
	MaxQueuedTotal = 64 << 20
	// quickCall is the size of the largest call that may be handled on the goroutine that reads, in bytes, with its
	// CallCost: usual ones have 200 to 400. Ten times that takes some 50 us; one of the largest size takes 150 ms.
	quickCall = 4<<10 + CallCost
	// calm is what an account may have waiting, in bytes, without that its larger calls are paced.
	calm = 1 << 20
	// pace is how long an account rests after a larger call while more than that waits, by the time which that
	// took: reading what comes has to be faster than the bus, which refuses everybody when it can't pass on what one has
	// sent.
	pace = 15

	// maxAsks is how many questions to clients may wait for an answer: one of each helper whose Id is asked for, and
	// some more. The private bus lets one connection wait for 1024. Those to the bus itself, which answers, are not held up by them.
	maxAsks = 128

	// keepEncoder is how large an encoder's buffer may be to be kept for the next message, in
	// bytes: room for the largest ordinary reply, QEMU's schema. The collector takes those
	// that nobody uses.
	keepEncoder = 1 << 20
	// maxBacklog is how much may wait to be written to the bus, in bytes, before
	// calls are no longer started and signals are refused.
	maxBacklog = 4 << 20
	// maxAuthLine is the longest line of the authentication, in bytes; libdbus
	// allows itself the same.
	maxAuthLine = 16 << 10
)
