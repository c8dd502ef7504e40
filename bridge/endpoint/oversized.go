package endpoint

import (
	"errors"
	"fmt"

	"qmp-dbus-bridge/schema/wire"
)

// readOversized reads past a message of the given size, keeping its header so that
// the sender can be told. If even that is too large, the message is dropped.
func (f *framer) readOversized(size int) (frame, error) {
	own := len(f.fds) // the buffer is smaller than the message, so no other's have come
	m, headerSize, malformed := f.parseOversized()
	if malformed != nil && !errors.Is(malformed, errMalformed) {
		return frame{}, malformed
	}
	if err := f.pass(size); err != nil {
		return frame{}, unexpected(err)
	}
	fds := f.give(own)
	if malformed != nil {
		closeAll(f.log, fds)
		return frame{}, malformed
	}
	return frame{Message: m, size: headerSize, fds: fds, oversized: true}, nil
}

// parseOversized reads the header of an oversized message as one without a body.
func (f *framer) parseOversized() (m wire.Message, size int, err error) {
	clear(f.buf[f.start+4 : f.start+8]) // the length of the body
	size, err = wire.MessageSize(f.buf[f.start:])
	if err != nil {
		return m, size, err
	}
	if size > f.most {
		return m, size, fmt.Errorf("%w: header of %d bytes", errMalformed, size)
	}
	if err := f.fill(size); err != nil {
		return m, size, unexpected(err)
	}
	m, err = f.parse(size)
	return m, size, err
}

// pass reads past n bytes.
func (f *framer) pass(n int) error {
	for {
		here := min(n, len(f.buf)-f.start)
		f.start += here
		if n -= here; n == 0 {
			return nil
		}
		if err := f.fill(1); err != nil {
			return err
		}
	}
}
