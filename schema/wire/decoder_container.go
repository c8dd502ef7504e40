package wire

import "errors"

// Enter goes into the array, struct, dict entry or variant at the cursor.
func (d *Decoder) Enter() {
	kind := d.Kind()
	switch {
	case basic(kind) || kind == 0:
		d.fail(errors.New("no container here"))
	case d.depth == MaxDepth:
		d.fail(errNestedDeep)
	case kind == codeArray:
		d.enterArray()
	case kind == codeVariant:
		d.enterVariant()
	case d.alignTo(structAlignment):
		d.push(entered{kind: kind, at: uint8(d.at)}, d.at+1, 1)
	}
}

// Exit leaves the container that was entered last, passing (and validating) what is
// left of it.
func (d *Decoder) Exit() {
	if d.err != nil {
		return
	}
	if d.depth == 0 {
		d.fail(errors.New("no container was entered"))
		return
	}
	d.skipRest()
	if d.err != nil {
		return
	}
	d.depth--
	switch o := d.stack[d.depth]; o.kind {
	case codeArray:
		d.end = int(o.back)
		d.leave(o, typeEnd(d.sig, int(o.at)))
	case codeVariant:
		d.leaveSignature(o)
		d.leave(o, int(o.at)+1)
	default:
		d.leave(o, d.at+1)
	}
}

// Skip passes one complete value, which it validates.
func (d *Decoder) Skip() {
	switch kind := d.Kind(); kind {
	case 0:
		d.fail(errNoValue)
	case codeArray, codeStruct, codeDictEntry, codeVariant:
		d.Enter()
		d.Exit()
	case codeString, codeObjectPath, codeSignature:
		d.text(kind)
	case codeBool:
		d.Bool()
	case codeUnixFD:
		d.UnixFD()
	default:
		d.fixed(kind, int(sizes[kind]))
	}
}

// skipRest passes what is left of the innermost container. Numbers of which every
// value is valid need no look at each.
func (d *Decoder) skipRest() {
	if d.step == 0 && d.at < len(d.sig) {
		kind := d.sig[d.at]
		size := int(sizes[kind])
		if size != 0 && kind != codeBool && kind != codeUnixFD {
			if (d.end-d.pos)%size != 0 {
				d.fail(errShort)
			}
			d.pos = d.end
			return
		}
	}
	for d.Kind() != 0 {
		d.Skip()
	}
}

// enterArray reads an array's size and enters it.
func (d *Decoder) enterArray() {
	start, size := d.arraySize()
	if d.err != nil {
		return
	}
	outer := d.end
	d.pos, d.end = start, start+size
	d.push(entered{kind: codeArray, at: uint8(d.at), back: uint32(outer)}, d.at+1, 0)
}

// byteArray goes past an ay and gives its bytes.
func (d *Decoder) byteArray() []byte {
	if d.depth == MaxDepth {
		d.fail(errNestedDeep)
		return nil
	}
	start, size := d.arraySize()
	if d.err != nil {
		return nil
	}
	d.pos = start + size
	d.at += 2 * d.step
	return d.body[start:d.pos:d.pos]
}

// arraySize reads an array's size and gives where its elements begin. The padding
// before the first element is there also if there is none.
func (d *Decoder) arraySize() (start, size int) {
	if !d.alignTo(4) {
		return 0, 0
	}
	if d.end-d.pos < 4 {
		d.fail(errShort)
		return 0, 0
	}
	claimed := d.load32(d.pos)
	if claimed > MaxArray {
		d.fail(errArrayLong)
		return 0, 0
	}
	size = int(claimed)
	d.pos += 4
	if !d.alignTo(int(alignments[d.sig[d.at+1]])) {
		return 0, 0
	}
	if size > d.end-d.pos {
		d.fail(errShort)
		return 0, 0
	}
	return d.pos, size
}

// enterVariant reads a variant's signature and enters it.
func (d *Decoder) enterVariant() {
	if d.pos >= d.end || int(d.body[d.pos]) >= d.end-d.pos-1 {
		d.fail(errShort)
		return
	}
	start := d.pos + 1
	end := start + int(d.body[d.pos])
	if d.body[end] != 0 {
		d.fail(errNoNUL)
		return
	}
	sig := alias(d.body[start:end])
	if err := validateSingle(sig); err != nil {
		d.fail(err)
		return
	}
	d.push(entered{kind: codeVariant, at: uint8(d.at), size: uint8(len(d.sig)), back: uint32(d.sigAt)}, 0, 1)
	d.sig, d.sigAt, d.pos = sig, start, end+1
}

// leave puts the cursor after the container o, whose type ends at that place of
// d.sig; in an array that is back at the element type.
func (d *Decoder) leave(o entered, end int) {
	d.at, d.step = end, 1
	if d.depth > 0 && d.stack[d.depth-1].kind == codeArray {
		d.at, d.step = int(o.at), 0
	}
}

// leaveSignature goes back to the signature outside the variant o.
func (d *Decoder) leaveSignature(o entered) {
	d.sigAt = int(o.back)
	d.sig = d.root
	if d.sigAt != 0 {
		d.sig = alias(d.body[d.sigAt : d.sigAt+int(o.size)])
	}
}

// push makes o the innermost container, its first value at that place of d.sig.
func (d *Decoder) push(o entered, at, step int) {
	d.stack[d.depth] = o
	d.depth++
	d.at, d.step = at, step
}

// alignTo passes the padding before a value of that alignment.
func (d *Decoder) alignTo(alignment int) bool {
	p := (d.pos + alignment - 1) &^ (alignment - 1)
	if p == d.pos {
		return true
	}
	if p > d.end {
		d.fail(errShort)
		return false
	}
	if !allZero(d.body[d.pos:p]) {
		d.fail(errPadding)
		return false
	}
	d.pos = p
	return true
}
