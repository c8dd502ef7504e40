package access

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// lines writes records as JSON lines, to a file or standard error.
type lines struct {
	path string // of a file that is ours; empty for standard error

	mu     sync.Mutex // held for a whole write, so that reopen never takes the file from under one
	file   *os.File
	closed bool
	buffer []byte // not written yet; begins with a whole line
	torn   int    // bytes of that line which the file has, after a short write
}

func openLines(path string) (*lines, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	file, err := openAuditFile(path, unix.O_RDWR)
	if err != nil {
		return nil, err
	}
	l := &lines{path: path, file: file}
	if err := l.endLine(); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return l, nil
}

func openAuditFile(path string, access int) (*os.File, error) {
	return openTrusted(path, access|unix.O_APPEND|unix.O_CREAT, uint32(os.Geteuid()))
}

// endLine has a line end before the first record where the file ends in the middle of one, as a full
// disk or a crash leaves it.
func (l *lines) endLine() error {
	info, err := l.file.Stat()
	if err != nil || info.Size() == 0 {
		return err
	}
	last := make([]byte, 1)
	if _, err := l.file.ReadAt(last, info.Size()-1); err != nil {
		return err
	}
	if last[0] != '\n' {
		l.buffer = []byte{'\n'}
	}
	return nil
}

func (l *lines) put(records []Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, record := range records {
		l.buffer = record.AppendJSON(l.buffer)
	}
	n, err := l.file.Write(l.buffer[l.torn:])
	written := l.torn + n
	whole := bytes.LastIndexByte(l.buffer[:written], '\n') + 1
	l.torn = written - whole
	l.buffer = append(l.buffer[:0], l.buffer[whole:]...)
	return err
}

// reopen goes on in the file that is at the path now. A line that the old one has a part of is
// written to it whole.
func (l *lines) reopen() error {
	if l.path == "" {
		return nil
	}
	file, err := openAuditFile(l.path, unix.O_WRONLY)
	if err != nil {
		return fmt.Errorf("%w; going on in the file that is open", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	same, err := sameFile(l.file, file)
	switch {
	case l.closed || err != nil:
		return errors.Join(err, file.Close())
	case same:
		return file.Close()
	}
	old := l.file
	l.file, l.torn = file, 0
	return old.Close()
}

// File is the absolute path of the file that the records go to; empty if they go elsewhere.
func (a *Audit) File() string {
	if l, ok := a.to.(*lines); ok {
		return l.path
	}
	return ""
}

func sameFile(a, b *os.File) (bool, error) {
	infoA, errA := a.Stat()
	infoB, errB := b.Stat()
	return os.SameFile(infoA, infoB), errors.Join(errA, errB)
}

func (l *lines) close() error {
	if l.path == "" {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	return l.file.Close()
}
