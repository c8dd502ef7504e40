package endpoint

import (
	"errors"
	"fmt"
	"io"
	"log/slog"

	"qmp-dbus-bridge/qmp/socket"
	"qmp-dbus-bridge/schema/wire"
)

// idleBuffer is what a framer keeps between messages, in bytes: room for some calls
// of the usual 200 to 400.
const idleBuffer = 16 << 10

// framer cuts the byte stream of a bus into messages, each with its descriptors.
type framer struct {
	sock  *socket.Conn
	log   *slog.Logger
	most  int // bytes of a message
	buf   []byte
	start int   // up to where messages of buf have been returned
	fds   []int // received, of messages not yet returned
}

// frame is one message. Its body is valid until the next call of next.
type frame struct {
	wire.Message
	size      int   // of the message, in bytes; of its header if it is oversized
	fds       []int // the receiver's
	oversized bool  // over the limit; there is no body
}

// errMalformed is the cause where one message can't be read, but those behind it can.
var errMalformed = errors.New("message dropped")

// next returns the next message, or io.EOF where the stream ends between two. It drops
// malformed ones, as sd-bus does: should a bus ever let one pass that wire refuses,
// its sender must not end our connection with it.
func (f *framer) next() (frame, error) {
	for {
		message, err := f.read()
		if !errors.Is(err, errMalformed) {
			return message, err
		}
		f.log.Warn("malformed message", "error", err)
	}
}

func (f *framer) read() (frame, error) {
	if err := f.fill(wire.FixedHeaderSize); err != nil {
		return frame{}, err
	}
	size, err := wire.MessageSize(f.buf[f.start:])
	if err != nil {
		return frame{}, err
	}
	if size > f.most {
		return f.readOversized(size)
	}
	if err := f.fill(size); err != nil {
		return frame{}, unexpected(err)
	}
	m, err := f.parse(size)
	f.start += size
	if err == nil {
		err = f.checkFDs(m.UnixFDs)
	} else if len(f.fds) > 0 {
		err = fmt.Errorf("%v, with file descriptors that can't be told from the next one's", err)
	}
	if err != nil {
		return frame{}, err
	}
	return frame{Message: m, size: size, fds: f.give(int(m.UnixFDs))}, nil
}

// parse reads the message of the given size that comes next.
func (f *framer) parse(size int) (wire.Message, error) {
	m, err := wire.ParseMessage(f.buf[f.start : f.start+size])
	if err != nil {
		err = fmt.Errorf("%w: %w", errMalformed, err)
	}
	return m, err
}

// fill reads until the buffer holds n bytes that have not been returned.
func (f *framer) fill(n int) error {
	if len(f.buf)-f.start < n {
		f.makeRoom(n)
	}
	for len(f.buf)-f.start < n {
		got, fds, err := f.sock.Read(f.buf[len(f.buf):cap(f.buf)])
		f.fds = append(f.fds, fds...)
		f.buf = f.buf[:len(f.buf)+got]
		switch {
		case err != nil && len(f.buf) > f.start:
			return unexpected(err)
		case err != nil:
			return err
		}
	}
	return nil
}

// makeRoom gives the buffer room for n bytes from start on, and gives back what a
// large message took.
func (f *framer) makeRoom(n int) {
	rest := f.buf[f.start:]
	size := max(n, idleBuffer)
	if cap(f.buf) < size || size == idleBuffer && cap(f.buf) > idleBuffer {
		f.buf = append(make([]byte, 0, size), rest...)
	} else {
		f.buf = f.buf[:copy(f.buf, rest)]
	}
	f.start = 0
}

// unexpected is err inside a message, where none may end.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
