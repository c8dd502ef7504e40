package endpoint

import (
	"errors"
	"fmt"
	"io"
	"log/slog"

	"qmp-dbus-bridge/qmp/socket"
	"qmp-dbus-bridge/schema/wire"
)

// idleBuffer is what a framer keeps between messages, in bytes: room for all that a Unix socket holds,
// which is 208 KiB (net.core.wmem_default), so that it is emptied by one system call and what most calls need is
// never made anew.
const idleBuffer = 256 << 10

// framer cuts the byte stream of a bus into messages, each with its descriptors.
type framer struct {
	sock *socket.Conn
	log  *slog.Logger
	most int // bytes of a message
	// refuses tells, of a message over idleBuffer without its body, why it would be refused, if it would.
	refuses func(*frame) string
	buf     []byte
	start   int   // up to where messages of buf have been returned
	fds     []int // received, of messages not yet returned
}

// frame is one message. Its body is valid until the next call of next.
type frame struct {
	wire.Message
	size    int    // of the message, in bytes
	fds     []int  // the receiver's
	owned   bool   // the body is the receiver's
	refused string // why there is no body
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
	if size > min(idleBuffer, f.most) {
		if message, passed, err := f.passRefused(size); passed || err != nil {
			return message, err
		}
	}
	data, err := f.take(size)
	if err != nil {
		return frame{}, unexpected(err)
	}
	m, err := f.parse(data)
	if err == nil {
		err = f.checkFDs(m.UnixFDs)
	} else if len(f.fds) > 0 {
		err = fmt.Errorf("%v, with file descriptors that can't be told from the next one's", err)
	}
	if err != nil {
		return frame{}, err
	}
	return frame{Message: m, size: size, fds: f.give(int(m.UnixFDs)), owned: size > idleBuffer}, nil
}

// take reads the message of the given size that comes next. One over idleBuffer has memory of its own.
func (f *framer) take(size int) ([]byte, error) {
	if size <= idleBuffer {
		if err := f.fill(size); err != nil {
			return nil, err
		}
		f.start += size
		return f.buf[f.start-size : f.start], nil
	}
	data := make([]byte, size)
	n := copy(data, f.buf[f.start:])
	f.start += n
	for n < size {
		got, err := f.receive(data[n:])
		if n += got; err != nil {
			return nil, err
		}
	}
	return data, nil
}

// parse reads a message.
func (f *framer) parse(data []byte) (wire.Message, error) {
	m, err := wire.ParseMessage(data)
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
		got, err := f.receive(f.buf[len(f.buf):cap(f.buf)])
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

// receive reads into p what has come.
func (f *framer) receive(p []byte) (n int, err error) {
	n, fds, err := f.sock.Read(p)
	f.fds = append(f.fds, fds...)
	return n, err
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
