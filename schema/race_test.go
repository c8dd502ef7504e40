//go:build race

package schema_test

// underRace says that the race detector is in, which makes everything here ten times as slow and
// takes several times the memory. It has nothing to find in a transcoder, which is of one goroutine.
const underRace = true
