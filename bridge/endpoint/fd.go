package endpoint

import (
	"fmt"
	"log/slog"

	"golang.org/x/sys/unix"
)

// checkFDs checks that the message that was just read brought n descriptors.
func (f *framer) checkFDs(n uint32) error {
	have := uint32(len(f.fds))
	// They come with the first byte, so that none is left when no more bytes are.
	if have < n || have > n && f.start == len(f.buf) {
		return fmt.Errorf("a message announces %d file descriptors and brought %d", n, have)
	}
	return nil
}

// give gives the next n descriptors away.
func (f *framer) give(n int) []int {
	if n == 0 {
		return nil
	}
	fds := f.fds[:n:n]
	f.fds = f.fds[n:]
	return fds
}

// closeAll closes descriptors that came from the bus, or that did not get there.
func closeAll(log *slog.Logger, fds []int) {
	for _, fd := range fds {
		if err := unix.Close(fd); err != nil {
			log.Error("closing a file descriptor", "error", err)
		}
	}
}
