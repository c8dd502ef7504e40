package wire

import (
	"encoding/binary"
	"fmt"
)

// OpenArray begins an array of elements of type elem, which can be a dict entry as
// "{sv}". Any number of elements may follow, also none.
func (e *Encoder) OpenArray(elem string) {
	if !e.announced(codeArray, elem) || !e.deeper() {
		return
	}
	outer, inner := e.cur, e.cur
	outer.at += uint8(1+len(elem)) * outer.step
	inner.at, inner.step = inner.at+1, 0
	if !inner.bound {
		inner = scope{sig: elem, bound: true}
	}
	e.put32(0)
	size := uint32(len(e.buf) - 4)
	e.align(int(alignments[elem[0]]))
	e.push(codeArray, size, outer, inner)
}

// CloseArray ends the array that was opened last.
func (e *Encoder) CloseArray() {
	o := e.top(codeArray)
	if o == nil {
		return
	}
	size := len(e.buf) - int(o.start)
	if size > MaxArray {
		e.fail(errArrayLong)
		return
	}
	binary.LittleEndian.PutUint32(e.buf[o.size:], uint32(size))
	e.pop(o)
}

// OpenStruct begins a struct; one or more values have to follow.
func (e *Encoder) OpenStruct() { e.openFields(codeStruct) }

// CloseStruct ends the struct that was opened last.
func (e *Encoder) CloseStruct() { e.closeFields(codeStruct, codeStructEnd) }

// OpenDictEntry begins an entry of an array of entries; key and value follow.
func (e *Encoder) OpenDictEntry() { e.openFields(codeDictEntry) }

// CloseDictEntry ends the entry that was opened last.
func (e *Encoder) CloseDictEntry() { e.closeFields(codeDictEntry, codeDictEnd) }

// OpenVariant begins a variant that holds one value of the complete type sig.
func (e *Encoder) OpenVariant(sig string) {
	if !e.announced(codeVariant, sig) || !e.deeper() {
		return
	}
	outer := e.cur
	outer.at += outer.step
	e.putSignature(sig)
	e.push(codeVariant, 0, outer, scope{sig: sig, step: 1, bound: true})
}

// CloseVariant ends the variant that was opened last.
func (e *Encoder) CloseVariant() {
	o := e.top(codeVariant)
	if o == nil {
		return
	}
	if e.cur.left() != 0 {
		e.fail(fmt.Errorf("variant of type %q closed without a value", e.cur.sig))
		return
	}
	e.pop(o)
}

// announced says whether a container of that kind and content type may begin here.
func (e *Encoder) announced(kind byte, content string) bool {
	if e.cur.left() != 0 {
		if e.cur.sig[e.cur.at] != kind {
			return e.takeUnbound(kind)
		}
		if kind == codeArray {
			return e.announcedElement(content)
		}
	} else if !e.takeUnbound(kind) {
		return false
	}
	validate := validateSingle
	if kind == codeArray {
		validate = validateElement
	}
	if err := validate(content); err != nil {
		e.fail(err)
		return false
	}
	return true
}

// announcedElement says whether elem is the element type of the array at e.cur.
func (e *Encoder) announcedElement(elem string) bool {
	sig, at := e.cur.sig, int(e.cur.at)+1
	if end := at + len(elem); end <= len(sig) && sig[at:end] == elem && typeEnd(sig, at) == end {
		return true
	}
	e.fail(fmt.Errorf("array of %q where signature %q has %q", elem, sig, sig[at-1:]))
	return false
}

// openFields begins a struct or dict entry.
func (e *Encoder) openFields(kind byte) {
	inner := scope{}
	switch {
	case e.cur.left() != 0 && e.cur.sig[e.cur.at] == kind:
		inner = scope{sig: e.cur.sig, at: e.cur.at + 1, step: 1, bound: true}
	case !e.takeUnbound(kind):
		return
	case kind == codeDictEntry:
		e.fail(errStrayEntry)
		return
	}
	if e.deeper() {
		e.align(structAlignment)
		e.push(kind, 0, e.cur, inner)
	}
}

// closeFields ends a struct or dict entry, whose end in the signature is end.
func (e *Encoder) closeFields(kind, end byte) {
	o := e.top(kind)
	switch {
	case o == nil:
		return
	case !e.cur.bound && len(e.buf) == int(o.start):
		e.fail(errEmpty)
		return
	case e.cur.bound && e.cur.sig[e.cur.at] != end:
		e.fail(fmt.Errorf("%s closed before %q of signature %q",
			containerName(kind), e.cur.sig[e.cur.at:], e.cur.sig))
		return
	}
	if o.outer.step != 0 {
		o.outer.at = e.cur.at + 1
	}
	e.pop(o)
}

// deeper says whether one more container is within MaxSendDepth, and begins within
// MaxMessage.
func (e *Encoder) deeper() bool {
	switch {
	case e.depth == MaxSendDepth:
		e.fail(errSendDeep)
	case len(e.buf) > MaxMessage:
		e.fail(errMessageLong)
	default:
		return true
	}
	return false
}

// push opens the innermost container, in which inner has to be written and after which
// comes outer. Of an array, size is where its size is.
func (e *Encoder) push(kind byte, size uint32, outer, inner scope) {
	o := &e.stack[e.depth] // filled in place: a copy costs a tenth of a large message
	o.outer, o.kind, o.size = outer, kind, size
	o.start = uint32(len(e.buf))
	e.depth++
	e.cur = inner
}

// top gives the innermost container, which has to be of that kind, or nil.
func (e *Encoder) top(kind byte) *open {
	if e.err != nil {
		return nil
	}
	if e.depth == 0 {
		e.fail(errNoContainer)
		return nil
	}
	o := &e.stack[e.depth-1]
	if o.kind != kind {
		e.fail(fmt.Errorf("%s closed within %s", containerName(kind), containerName(o.kind)))
		return nil
	}
	return o
}

// pop leaves the innermost container o.
func (e *Encoder) pop(o *open) {
	e.depth--
	e.cur = o.outer
}

// containerName names a kind of container in errors.
func containerName(kind byte) string {
	switch kind {
	case codeArray:
		return "array"
	case codeStruct:
		return "struct"
	case codeDictEntry:
		return "dict entry"
	}
	return "variant"
}
