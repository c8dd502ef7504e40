package access

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// sink is a destination of audit records.
type sink interface {
	// put takes over the records and writes them. After an error it keeps what is not written, and
	// put(nil) tries again.
	put(records []Record) error
	close() error
}

// openSink returns nil for "none".
func openSink(destination string) (sink, error) {
	switch destination {
	case "none":
		return nil, nil
	case "":
		return nil, errors.New("want stderr, journal, none or a file")
	case "stderr":
		return &lines{file: os.Stderr, shared: true}, nil
	case "journal":
		return openJournal()
	}
	file, err := openTrusted(destination, unix.O_WRONLY|unix.O_APPEND|unix.O_CREAT, uint32(os.Geteuid()))
	if err != nil {
		return nil, err
	}
	return &lines{file: file}, nil
}

// lines writes JSON lines.
type lines struct {
	file   *os.File
	shared bool   // not ours to close
	buffer []byte // not written yet; begins in the middle of a line after a short write
}

func (l *lines) put(records []Record) error {
	for _, record := range records {
		l.buffer = record.AppendJSON(l.buffer)
	}
	written, err := l.file.Write(l.buffer)
	l.buffer = append(l.buffer[:0], l.buffer[written:]...)
	return err
}

func (l *lines) close() error {
	if l.shared {
		return nil
	}
	return l.file.Close()
}
