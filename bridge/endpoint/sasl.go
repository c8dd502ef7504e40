package endpoint

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// authenticate speaks the client's side of SASL EXTERNAL on rw for user uid and
// returns the bytes that were read past it, and whether descriptors may be passed.
// All our lines go out in one write, as sd-bus does: the answers are the same.
func authenticate(rw io.ReadWriter, uid int) (rest []byte, fds bool, err error) {
	hello := "\x00AUTH EXTERNAL " + hex.EncodeToString([]byte(strconv.Itoa(uid))) +
		"\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n"
	if _, err := io.WriteString(rw, hello); err != nil {
		return nil, false, err
	}
	lines := authLines{r: rw}
	answer, err := lines.next()
	if err != nil {
		return nil, false, err
	}
	if word, _, _ := strings.Cut(answer, " "); word != "OK" {
		return nil, false, fmt.Errorf("the bus refused uid %d: it answered %q", uid, answer)
	}
	if answer, err = lines.next(); err != nil {
		return nil, false, err
	}
	switch word, _, _ := strings.Cut(answer, " "); word {
	case "AGREE_UNIX_FD":
		return lines.buf, true, nil
	case "ERROR":
		return lines.buf, false, nil
	default:
		return nil, false, fmt.Errorf("unexpected answer %q to NEGOTIATE_UNIX_FD", answer)
	}
}

// authLines reads the lines of the authentication, which end in CR LF.
type authLines struct {
	r   io.Reader
	buf []byte // read and not yet returned
}

// next returns the next line without its end.
func (l *authLines) next() (string, error) {
	for {
		line, rest, ok := bytes.Cut(l.buf, []byte("\r\n"))
		switch {
		case ok && len(line) <= maxAuthLine:
			l.buf = rest
			return string(line), nil
		case ok || len(l.buf) > maxAuthLine+len("\r"):
			return "", errAuthLine
		}
		if err := l.read(); err != nil {
			return "", err
		}
	}
}

func (l *authLines) read() error {
	var chunk [512]byte
	n, err := l.r.Read(chunk[:])
	l.buf = append(l.buf, chunk[:n]...)
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

var errAuthLine = fmt.Errorf("the bus sent an authentication line over %d bytes", maxAuthLine)
