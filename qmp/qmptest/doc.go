// Package qmptest is a fake QEMU for tests: the far end of a QMP connection, over
// a socket pair ([Start]) or at a path like QEMU's own socket ([Listen]).
//
// It greets, agrees on capabilities and gives every other request to a [Handler], one
// after another on its own goroutine. The handler answers with the request's methods:
// at once, later, from another goroutine, in another order, or never. What QEMU would
// not do goes through [QEMU.Send], which takes anything: half a line, garbage,
// a reply with a wrong id.
//
//	qemu, s := qmptest.Start(t, qmptest.Options{}, qmptest.Answers{
//		"query-status": `{"status": "running", "singlestep": false, "running": true}`,
//	}.Handle)
//	c, err := qmp.Open(ctx, s, qmp.Options{})
//	...
//	qemu.Event("STOP", "")
//
// [Descriptors] keeps those that a fake is passed, by name and in sets, for handlers of getfd, add-fd and their like.
//
// Messages look like those of QEMU 7.2: blanks after colon and comma, CRLF, the id last
// in a return and first in an error. Everything ends with the test: the goroutine is
// joined and file descriptors that came are closed.
package qmptest
