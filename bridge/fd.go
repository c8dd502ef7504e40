package bridge

import (
	"crypto/rand"
	"fmt"

	"golang.org/x/sys/unix"
)

// fdName is how QEMU calls a descriptor that a call with that serial passes, until a command takes it. All commands of a
// connection share these names: those with b and a digit in front are the bridge's own, and nobody can guess the rest, to use or
// close what another passes.
func fdName(serial uint32) string { return fmt.Sprintf("b%d-%s", serial, rand.Text()) }

// takeFD takes one of the call's descriptors, which is the caller's of this, and closes the others.
func (r *request) takeFD(index uint32) int {
	fds := r.TakeFDs()
	for i, fd := range fds {
		if uint32(i) != index {
			_ = unix.Close(fd) // nothing was done with it
		}
	}
	return fds[index]
}
