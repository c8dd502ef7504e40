package bridge

import (
	"cmp"
	"fmt"
	"math/bits"
	"strconv"
	"strings"

	"qmp-dbus-bridge/bridge/access"
	"qmp-dbus-bridge/bridge/endpoint"
	"qmp-dbus-bridge/qmp"
)

// Limits are what callers and QEMU can make the bridge hold, where that can be set. A field that is zero
// stands for its default; docs/api.md tells of all.
type Limits struct {
	endpoint.Limits
	Commands      int // of one sender in flight
	Arguments     int // bytes of JSON of one command
	Subscriptions int // of one caller
	Callers       int // known at a time
	Reply         int // bytes of one line of QEMU's
}

// limit describes one of Limits.
type limit struct {
	name        string
	of          func(*Limits) *int
	normal      int // the default
	least, most int
}

// maxArguments is the default of Limits.Arguments: QEMU reads about 4 us a byte and serves nobody
// meanwhile, so that this is a quarter of a second (7.2.22).
const maxArguments = 64 << 10

// limits have names for the command line. The bounds keep them apart from others that can't be set: from
// what the private bus lets pass, from what all callers together may have, from QEMU's queue.
var limits = []limit{
	{"calls", func(l *Limits) *int { return &l.QueuedCalls }, endpoint.MaxQueuedCalls, 1, 4096},
	{"commands", func(l *Limits) *int { return &l.Commands }, maxCommandsPerSender, 1, 7},
	{"message", func(l *Limits) *int { return &l.Message }, endpoint.MaxMessage, 4 << 10, 16 << 20},
	{"fds", func(l *Limits) *int { return &l.CallFDs }, endpoint.MaxCallFDs, 1, 32},
	{"held-fds", func(l *Limits) *int { return &l.HeldFDs }, endpoint.MaxHeldFDs, 64, 1024},
	{"arguments", func(l *Limits) *int { return &l.Arguments }, maxArguments, 1 << 10, 16 << 20},
	{"subscriptions", func(l *Limits) *int { return &l.Subscriptions }, maxSubscriptions, 1, 1024},
	{"callers", func(l *Limits) *int { return &l.Callers }, access.DefaultCallers, 16, 64 << 10},
	{"reply", func(l *Limits) *int { return &l.Reply }, qmp.DefaultMaxLine, 1 << 20, 1 << 30},
}

// Set sets the limit that NAME=N names; K and M behind N stand for 1024 and 1024*1024.
func (l *Limits) Set(text string) error {
	name, value, found := strings.Cut(text, "=")
	if !found {
		return fmt.Errorf("%s: want NAME=N, like message=8M", text)
	}
	for _, limit := range limits {
		if limit.name != name {
			continue
		}
		n, err := parseSize(value)
		if err != nil || n < limit.least || n > limit.most {
			return fmt.Errorf("%s: want a number from %s to %s", text, size(limit.least), size(limit.most))
		}
		*limit.of(l) = n
		return nil
	}
	return fmt.Errorf("%s: no such limit; there are %s", text, LimitNames())
}

// LimitNames lists the limits that Set knows with their defaults, such as calls=256.
func LimitNames() string {
	var names []string
	for _, limit := range limits {
		names = append(names, limit.name+"="+size(limit.normal))
	}
	return strings.Join(names, ", ")
}

// withDefaults is l with the defaults where it has none.
func (l Limits) withDefaults() Limits {
	for _, limit := range limits {
		of := limit.of(&l)
		*of = cmp.Or(*of, limit.normal)
	}
	return l
}

// units are the letters behind a number, each 1024 times the one before.
const units = "KM"

func parseSize(text string) (int, error) {
	digits := strings.TrimRight(text, units)
	shift := 0
	if unit := text[len(digits):]; len(unit) == 1 {
		shift = 10 * (1 + strings.Index(units, unit))
	} else if unit != "" {
		return 0, strconv.ErrSyntax
	}
	n, err := strconv.ParseUint(digits, 10, 32)
	return int(n << shift), err
}

// size is n as parseSize reads it, with a unit where that is shorter to read.
func size(n int) string {
	unit := min(bits.TrailingZeros(uint(n))/10, len(units))
	if unit == 0 || n < 64<<10 {
		return strconv.Itoa(n)
	}
	return strconv.Itoa(n>>(10*unit)) + units[unit-1:unit]
}
