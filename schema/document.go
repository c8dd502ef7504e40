package schema

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"qmp-dbus-bridge/schema/wire"
)

// Limits of a JSON text from QEMU, which may send anything.
const (
	maxText  = wire.MaxMessage // bytes
	maxNodes = 4 << 20         // as many as a D-Bus array has room for, 16 bytes each; see wire.MaxArray
	keepText = 1 << 20         // bytes of scratch that a document keeps for its next use
)

// document is one JSON text from QEMU with an index of its values, in the order
// of the text. An index instead of a tree: QEMU writes members in the order of
// a hash, so a value must be found before it is written, and nothing may be
// allocated for each.
//
// Strings are read leniently, see [appendUnquoted].
type document struct {
	text    []byte // the JSON text, of the caller
	spill   []byte // content of the strings that are not verbatim in text
	nodes   []node
	open    []int // nodes of the containers around the decoder's place
	order   []int // see sorted
	decoder *jsontext.Decoder
	reader  bytes.Buffer
}

var documents = sync.Pool{New: func() any {
	return &document{decoder: new(jsontext.Decoder)}
}}

// parseDocument returns text, indexed. The document must be released.
func parseDocument(text []byte) (*document, error) {
	d := documents.Get().(*document)
	if err := d.parse(text); err != nil {
		d.release()
		return nil, err
	}
	return d, nil
}

// release gives the document back; nothing may use it or its bytes afterwards.
func (d *document) release() {
	if cap(d.nodes) > keepText/16 || cap(d.spill) > keepText || cap(d.order) > keepText/8 {
		return
	}
	d.text = nil
	d.reader = bytes.Buffer{}
	d.decoder.Reset(&d.reader)
	documents.Put(d)
}

func (d *document) parse(text []byte) error {
	if len(text) > maxText {
		return fmt.Errorf("JSON text of %d bytes: %w", len(text), wire.ErrLimit)
	}
	d.text, d.spill = text, d.spill[:0]
	d.nodes, d.open, d.order = d.nodes[:0], d.open[:0], d.order[:0]
	d.reader = *bytes.NewBuffer(text) // the decoder reads the buffer in place
	d.decoder.Reset(&d.reader, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	for {
		if err := d.readNode(); err != nil {
			return err
		}
		if len(d.open) == 0 {
			return d.readEnd()
		}
	}
}

// readNode reads one token into the index.
func (d *document) readNode() error {
	switch kind := d.decoder.PeekKind(); kind {
	case jsontext.KindBeginObject, jsontext.KindBeginArray:
		d.open = append(d.open, len(d.nodes))
		return d.readDelimiter(kind)
	case jsontext.KindEndObject, jsontext.KindEndArray:
		return d.readDelimiter(kind)
	default:
		return d.readScalar(kind)
	}
}

func (d *document) readDelimiter(kind jsontext.Kind) error {
	if _, err := d.decoder.ReadToken(); err != nil {
		return err
	}
	if kind == jsontext.KindBeginObject || kind == jsontext.KindBeginArray {
		return d.add(node{kind: kind})
	}
	last := len(d.open) - 1
	d.nodes[d.open[last]].next = uint32(len(d.nodes))
	d.open = d.open[:last]
	return nil
}

func (d *document) readScalar(kind jsontext.Kind) error {
	value, err := d.decoder.ReadValue()
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	if err != nil {
		return err
	}
	end := int(d.decoder.InputOffset())
	n := node{kind: kind, start: uint32(end - len(value)), end: uint32(end)}
	if kind == jsontext.KindString {
		n = d.stringNode(value, n)
	}
	return d.add(n)
}

// stringNode makes n, which is a quoted string, stand for its content.
func (d *document) stringNode(quoted []byte, n node) node {
	if bytes.IndexByte(quoted, '\\') < 0 && utf8.Valid(quoted) {
		n.start, n.end = n.start+1, n.end-1
		return n
	}
	n.spilled, n.start = true, uint32(len(d.spill))
	d.spill = appendUnquoted(d.spill, quoted)
	n.end = uint32(len(d.spill))
	return n
}

func (d *document) add(n node) error {
	if len(d.nodes) == maxNodes {
		return fmt.Errorf("JSON text of more than %d values: %w", maxNodes, wire.ErrLimit)
	}
	n.next = uint32(len(d.nodes) + 1)
	d.nodes = append(d.nodes, n)
	return nil
}

func (d *document) readEnd() error {
	if _, err := d.decoder.ReadToken(); !errors.Is(err, io.EOF) {
		return errors.New("JSON text goes on after its value")
	}
	return nil
}
