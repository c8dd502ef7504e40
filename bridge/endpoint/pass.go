package endpoint

import (
	"errors"
	"fmt"

	"qmp-dbus-bridge/schema/wire"
)

// passRefused reads past a message, over idleBuffer or over the limit, that would be refused, and keeps its header so that the
// sender can be told. Its body is not stored: what is refused is to cost little. If even the header is too large, the
// message is dropped. A message that is to be read is left as it is.
func (f *framer) passRefused(size int) (message frame, passed bool, err error) {
	m, err := f.header(size)
	malformed := errors.Is(err, errMalformed)
	if err != nil && !malformed {
		return frame{}, false, err
	}
	own := len(f.fds)
	if size < len(f.buf)-f.start { // others' may have come
		own = min(own, int(m.UnixFDs))
	}
	message = frame{Message: m, size: size, fds: f.fds[:own]}
	switch {
	case size > f.most && malformed: // not to be stored for the error that it is
	case malformed, m.Type == 0:
		return frame{}, false, nil
	default:
		message.refused = f.refuses(&message)
		if message.refused == "" {
			return frame{}, false, nil
		}
	}
	if err := f.pass(size); err != nil {
		return frame{}, false, unexpected(err)
	}
	message.fds = f.give(own)
	if malformed {
		closeAll(f.log, message.fds)
		return frame{}, false, err
	}
	return message, true, nil
}

// header reads the header of a message as of one without a body. It leaves one to be read whole, and returns none, that
// is too large to be looked at first.
func (f *framer) header(size int) (m wire.Message, err error) {
	length := [4]byte(f.buf[f.start+4:])
	clear(f.buf[f.start+4 : f.start+8]) // the length of the body
	headerSize, err := wire.MessageSize(f.buf[f.start:])
	switch {
	case err != nil: // MessageSize took it with a body
	case headerSize > f.most:
		return m, fmt.Errorf("%w: header of %d bytes", errMalformed, headerSize)
	case size <= f.most && headerSize > idleBuffer:
	default:
		if err := f.fill(headerSize); err != nil {
			return m, unexpected(err)
		}
		m, err = f.parse(f.buf[f.start : f.start+headerSize])
	}
	copy(f.buf[f.start+4:], length[:])
	return m, err
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
