// Package fdtest is for tests of code that owns file descriptors: none may be left open at the end,
// and those that were given away have to be closed.
//
//	fdtest.Check(t) // first, so that it looks last
//	w, r := fdtest.Pipe(t)
//	err := conn.Send(message, []int{w}) // closes w
//	fdtest.WantClosed(t, r)
//
// Limits: it counts the descriptors of the whole process, so that such tests can't be parallel, and
// waits a minute for what should come at once, on a machine with other work.
package fdtest
