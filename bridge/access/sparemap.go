package access

import (
	"sync"

	"github.com/cedar-policy/cedar-go"
)

// maxSpare is how many members a map had that is worth keeping: maps never shrink.
const maxSpare = 64

// mapPool keeps maps that records were made of, since cedar.NewRecord copies them.
type mapPool struct{ pool sync.Pool }

// spareMaps are of the package for the same reasons as argumentReaders.
var spareMaps = mapPool{sync.Pool{New: func() any { return make(cedar.RecordMap) }}}

// get returns an empty map.
func (p *mapPool) get() cedar.RecordMap { return p.pool.Get().(cedar.RecordMap) }

// put takes a map back that nobody uses any more.
func (p *mapPool) put(m cedar.RecordMap) {
	if len(m) > maxSpare {
		return
	}
	clear(m)
	p.pool.Put(m)
}
