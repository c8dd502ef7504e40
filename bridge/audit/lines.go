package audit

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/bridge/trusted"
)

// lines writes records as JSON lines, to a file or standard error.
type lines struct {
	path string // of a file that is ours; empty for standard error

	// busy has one place, which guards what follows. It is held for a whole write, so that reopen never takes the
	// file from under one. No mutex, since a write may hang and reopen must not hang with it.
	busy   chan struct{}
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
	file, err := openFile(path, unix.O_RDWR)
	if err != nil {
		return nil, err
	}
	l := newLines(path, file)
	if err := l.endLine(); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return l, nil
}

func newLines(path string, file *os.File) *lines {
	return &lines{path: path, busy: make(chan struct{}, 1), file: file}
}

// openFile takes directories that their group can write, since /var/log is one on some systems.
func openFile(path string, access int) (*os.File, error) {
	return trusted.OpenFile(path, access|unix.O_APPEND|unix.O_CREAT, uint32(os.Geteuid()), trusted.Group)
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
	l.busy <- struct{}{}
	defer l.release()
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

func (l *lines) release() { <-l.busy }

// reopen goes on in the file that is at the path now. A line that the old one has a part of is
// written to it whole.
func (l *lines) reopen() error {
	if l.path == "" {
		return nil
	}
	file, err := openFile(l.path, unix.O_WRONLY) // the sandbox lets nothing be read there
	if err != nil {
		return fmt.Errorf("%w; %s", err, goingOn)
	}
	select {
	case l.busy <- struct{}{}:
		defer l.release()
	case <-time.After(closeTimeout):
		return errors.Join(fmt.Errorf("%s: a write to it hangs; %s", l.path, goingOn), file.Close())
	}
	same, err := sameFile(l.file, file)
	switch {
	case l.closed:
		return errors.Join(os.ErrClosed, file.Close())
	case err != nil:
		return errors.Join(err, file.Close())
	case same:
		return file.Close()
	}
	return l.goOnIn(file)
}

// goingOn is what happens when another file can't be had.
const goingOn = "going on in the file that is open"

// goOnIn writes to another file from now on. If it has something in it, that may end in the middle of a line: then an
// empty line is better than half a record.
func (l *lines) goOnIn(file *os.File) error {
	info, err := file.Stat()
	if err != nil {
		return errors.Join(err, file.Close())
	}
	if info.Size() > 0 {
		l.buffer = slices.Insert(l.buffer, 0, '\n')
	}
	old := l.file
	l.file, l.torn = file, 0
	return old.Close()
}

func (l *lines) filePath() string { return l.path }

func sameFile(a, b *os.File) (bool, error) {
	infoA, errA := a.Stat()
	infoB, errB := b.Stat()
	return os.SameFile(infoA, infoB), errors.Join(errA, errB)
}

func (l *lines) close() error {
	if l.path == "" {
		return nil
	}
	l.busy <- struct{}{}
	defer l.release()
	l.closed = true
	return l.file.Close()
}
