package schema

import (
	"fmt"
	"slices"
	"sync"

	"qmp-dbus-bridge/schema/wire"
)

// Limits of a JSON text from QEMU, which may send anything.
const (
	maxText  = wire.MaxMessage // bytes
	maxNodes = 4 << 20         // as many as a D-Bus array has room for, 16 bytes each; see wire.MaxArray
	keepText = 1 << 20         // bytes of scratch that a document keeps for its next use
	nodeText = 7               // bytes of text for each value that room is made for; query-qmp-schema has 7.9 (7.2.22)
)

// document is one JSON text from QEMU with an index of its values, in the order
// of the text. An index instead of a tree: QEMU writes members in the order of
// a hash, so a value must be found before it is written, and nothing may be
// allocated for each.
//
// Strings are read leniently, see [appendUnquoted].
type document struct {
	text  []byte // the JSON text, of the caller
	spill []byte // content of the strings that are not verbatim in text
	nodes []node
	order []int // see sorted
}

// documents saves allocating the index of each text. It is of the package, since documents are the same for every
// [Table], each begins empty, and the collector takes those that nobody uses.
var documents = sync.Pool{New: func() any { return new(document) }}

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
	documents.Put(d)
}

func (d *document) parse(text []byte) error {
	if len(text) > maxText {
		return fmt.Errorf("JSON text of %d bytes: %w", len(text), wire.ErrLimit)
	}
	d.text, d.spill = text, d.spill[:0]
	d.nodes, d.order = slices.Grow(d.nodes[:0], min(len(text)/nodeText, keepText/16)), d.order[:0]
	return d.scan()
}

func (d *document) add(n node) error {
	if len(d.nodes) == maxNodes {
		return fmt.Errorf("JSON text of more than %d values: %w", maxNodes, wire.ErrLimit)
	}
	n.next = uint32(len(d.nodes) + 1)
	d.nodes = append(d.nodes, n)
	return nil
}
