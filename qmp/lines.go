package qmp

import (
	"bytes"
	"fmt"
	"io"

	"qmp-dbus-bridge/qmp/socket"
)

// How large the reader's buffer is.
const (
	firstBuffer = 16 << 10  // bytes
	keepBuffer  = 512 << 10 // bytes; a larger one is given back once its lines are done
	minRead     = 4 << 10   // bytes; with less room the buffer is tidied or grows
)

// lines reads lines from a socket.
type lines struct {
	socket *socket.Conn
	max    int // bytes in a line, its end not counted
	buf    []byte
	start  int // of the line that is not yet complete
	seen   int // up to here there is no end of line
	end    int // of what has been read
}

// next gives the next line without its CRLF or LF; it is valid until the next call.
// The stream's end is io.EOF between lines and io.ErrUnexpectedEOF in one.
func (l *lines) next() ([]byte, error) {
	for {
		if i := bytes.IndexByte(l.buf[l.seen:l.end], '\n'); i >= 0 {
			line := bytes.TrimSuffix(l.buf[l.start:l.seen+i], []byte("\r"))
			l.start = l.seen + i + 1
			l.seen = l.start
			if len(line) > l.max {
				return nil, l.tooLong()
			}
			return line, nil
		}
		l.seen = l.end
		if err := l.fill(); err != nil {
			return nil, err
		}
	}
}

// fill reads more. QEMU sends no file descriptors; if any come they are closed.
func (l *lines) fill() error {
	if l.end-l.start > l.max+len("\r") {
		return l.tooLong()
	}
	l.makeRoom()
	n, fds, err := l.socket.Read(l.buf[l.end:])
	closeAll(fds)
	l.end += n
	if err == io.EOF && l.end > l.start {
		return io.ErrUnexpectedEOF
	}
	return err
}

// makeRoom makes room to read into, and gives back what a large line has left.
func (l *lines) makeRoom() {
	if l.start == l.end {
		l.start, l.seen, l.end = 0, 0, 0
		if len(l.buf) > keepBuffer {
			l.buf = nil
		}
	}
	if len(l.buf)-l.end >= minRead {
		return
	}
	pending, to := l.buf[l.start:l.end], l.buf
	if len(pending) >= len(l.buf)/2 && len(l.buf) < l.largest() {
		to = make([]byte, min(max(firstBuffer, 2*len(l.buf)), l.largest()))
	}
	copy(to, pending)
	l.buf, l.start, l.seen, l.end = to, 0, len(pending), len(pending)
}

// largest is the buffer's size that has room to read whatever is pending.
func (l *lines) largest() int { return max(firstBuffer, l.max+len("\r\n")+minRead) }

func (l *lines) tooLong() error {
	return fmt.Errorf("line of more than %d bytes", l.max)
}
