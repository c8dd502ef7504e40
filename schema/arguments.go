package schema

import (
	"fmt"
	"sync"

	"qmp-dbus-bridge/schema/wire"
)

// What QEMU's JSON parser takes in one command, less room for the rest of the
// command around the arguments (qobject/json-streamer.c: MAX_TOKEN_SIZE,
// MAX_TOKEN_COUNT, MAX_NESTING; past them it answers without an id).
const (
	maxArguments = 64<<20 - 1<<10 // bytes of JSON
	maxTokens    = 2<<20 - 64     // values, names, brackets, commas and colons
	maxNesting   = 1024 - 8       // objects and arrays inside each other
)

// How much room is kept for the next call. That of the keys is cleared each time,
// so that it does not keep a body alive.
const (
	keepKeys = 256
	keepSeen = 32 * maxMembers
)

// AppendValue appends the D-Bus value at the decoder to dst as compact JSON,
// by the table of the package comment. root, the command's name, begins the
// path of errors.
//
// A value that has no JSON form, or that QEMU's parser would refuse, is an
// [*ArgumentError]: NaN, a noncharacter, a repeated key, a file descriptor. An
// error that wraps wire.ErrLimit says that the value is too large or too deep.
// Any other error means that the body is not what its signature says. On an
// error dst comes back as it was.
func AppendValue(dst []byte, d *wire.Decoder, root string) ([]byte, error) {
	return appendArguments(dst, d, root, (*arguments).value)
}

// AppendObject is [AppendValue] for a dictionary with strings as keys, which
// the value at the decoder must be; an empty one is {}.
func AppendObject(dst []byte, d *wire.Decoder, root string) ([]byte, error) {
	return appendArguments(dst, d, root, (*arguments).object)
}

func appendArguments(dst []byte, d *wire.Decoder, root string, write func(*arguments)) ([]byte, error) {
	a := newArguments(dst, d)
	defer a.release()
	write(a)
	return a.finish(root)
}

// arguments writes what a caller sent as JSON. Errors are sticky: after the
// first one nothing more is written, and place collects the way to it.
type arguments struct {
	json    []byte
	start   int // where the arguments start in json
	decoder *wire.Decoder
	keys    [][]byte // of the dictionaries around the decoder's place
	seen    []given  // of the members of the objects around it
	tokens  int      // at most so many tokens have been written
	fds     *[]Descriptor
	fault   string // what is wrong with the value at place
	limit   string // which limit was passed
	place   place
	own     []Own // of the method whose call it is; nil of a command of its own

	scout, tried wire.Decoder // look ahead of decoder
}

var argumentsPool = sync.Pool{New: func() any { return new(arguments) }}

func newArguments(dst []byte, d *wire.Decoder) *arguments {
	a := argumentsPool.Get().(*arguments)
	a.json, a.start, a.decoder = dst, len(dst), d
	return a
}

func (a *arguments) release() {
	if cap(a.keys) > keepKeys || cap(a.seen) > keepSeen {
		return
	}
	clear(a.keys[:cap(a.keys)])
	*a = arguments{keys: a.keys[:0], seen: a.seen[:0]}
	argumentsPool.Put(a)
}

// finish returns what has been written, or what was before if anything went wrong.
func (a *arguments) finish(root string) ([]byte, error) {
	if err := a.result(root); err != nil {
		return a.json[:a.start], err
	}
	return a.json, nil
}

// result returns the first thing that went wrong.
func (a *arguments) result(root string) error {
	switch err := a.decoder.Err(); {
	case a.fault != "":
		return &ArgumentError{Path: a.place.under(root), Text: a.fault}
	case a.limit != "":
		return fmt.Errorf("%s: %s: %w", root, a.limit, wire.ErrLimit)
	case err != nil:
		return fmt.Errorf("%s: %w", a.place.under(root), err)
	}
	return nil
}

func (a *arguments) failed() bool {
	return a.fault != "" || a.limit != "" || a.decoder.Err() != nil
}

// fail notes that the value at the decoder is wrong, unless something was.
func (a *arguments) fail(format string, args ...any) {
	if !a.failed() {
		a.fault = fmt.Sprintf(format, args...)
	}
}

// count adds n tokens and checks QEMU's limits.
func (a *arguments) count(n int) {
	a.tokens += n
	switch {
	case a.limit != "":
	case a.tokens > maxTokens:
		a.limit = fmt.Sprintf("more than %d JSON tokens", maxTokens)
	case len(a.json)-a.start > maxArguments:
		a.limit = fmt.Sprintf("more than %d bytes of JSON", maxArguments)
	}
}
