package wire

import "errors"

// Mark is a place in what an Encoder writes.
type Mark struct {
	cur    scope
	size   int
	depth  int
	gen    uint64
	failed bool
}

// Mark gives the present place, for Rewind.
func (e *Encoder) Mark() Mark {
	return Mark{cur: e.cur, size: len(e.buf), depth: e.depth, gen: e.genAt(e.depth), failed: e.err != nil}
}

// Rewind takes back everything written since m, containers and an error included.
// The container in which m was made has to be open still, otherwise Rewind is an
// error itself. It does nothing if there was an error already when m was made.
func (e *Encoder) Rewind(m Mark) {
	if m.failed {
		return
	}
	if m.depth > e.depth || m.gen != e.genAt(m.depth) || m.size > len(e.buf) {
		e.fail(errors.New("rewind into a container that is closed"))
		return
	}
	e.buf = e.buf[:m.size]
	e.cur = m.cur
	e.depth = m.depth
	e.err = nil
}

// genAt tells the container at that depth from all others that were there.
func (e *Encoder) genAt(depth int) uint64 {
	if depth == 0 {
		return e.base
	}
	return e.stack[depth-1].gen
}
