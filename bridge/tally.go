package bridge

import (
	"math/bits"
	"sync/atomic"

	"qmp-dbus-bridge/bridge/access"
)

// tally counts what QEMU or callers can make happen at will. It is logged when the count has doubled, so
// that nobody can flood the log.
type tally struct{ count atomic.Uint64 }

// add returns the count with n more, and whether to log it.
func (t *tally) add(n int) (count uint64, doubled bool) {
	count = t.count.Add(uint64(n))
	return count, bits.Len64(count-uint64(n)) != bits.Len64(count)
}

// noteUnevaluated logs why a policy could not be evaluated, or be given the arguments: a fault in the policy,
// or a caller that tries what it was not made for.
func (b *Bridge) noteUnevaluated(d access.Decision) {
	if d.Err() == nil {
		return
	}
	if count, doubled := b.unevaluated.add(1); doubled {
		b.log.Error("a policy can't be evaluated", "policy", d.Policy(), "action", d.Action(), "error", d.Err(), "count", count)
	}
}

// noteUnrecorded logs that a denial is not in the audit, whose destination fails.
func (b *Bridge) noteUnrecorded(err error) {
	if count, doubled := b.unrecorded.add(1); doubled {
		b.log.Error("a denial was not recorded", "error", err, "count", count)
	}
}
