package schema

// slabSize is how many elements a slab has room for at first, and each of those after it.
const slabSize = 128

// slab makes small slices that live as long as each other, many in one piece of memory: each on its own, among what a load
// leaves behind, keeps a page of its own from being given back. The zero value is ready.
type slab[T any] struct{ free []T }

// make returns a slice without elements that has room for n.
func (s *slab[T]) make(n int) []T {
	if n > len(s.free) {
		s.free = make([]T, max(n, slabSize))
	}
	made := s.free[:0:n]
	s.free = s.free[n:]
	return made
}

// new returns one element.
func (s *slab[T]) new() *T { return &s.make(1)[:1][0] }
