package audit

import (
	"errors"
	"os"
)

// sink is a destination of audit records.
type sink interface {
	// put takes over the records and writes them. After an error it keeps what is not written, and
	// put(nil) tries again.
	put(records []Record) error
	// reopen goes on in the file that is at its path now, if it writes one. After an error it goes on
	// in the one that it has. put and reopen may be called at the same time; a put that hangs makes
	// reopen fail after closeTimeout.
	reopen() error
	// filePath is the absolute path of the file that it writes, empty if it writes none.
	filePath() string
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
		return newLines("", os.Stderr), nil
	case "journal":
		return openJournal()
	}
	return openLines(destination)
}
