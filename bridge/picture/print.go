package picture

import (
	"errors"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// Format is what a Print is in.
type Format string

// The formats.
const (
	PNG Format = "png"
	PPM Format = "ppm"
)

// Formats are all formats by their names.
var Formats = []Format{PNG, PPM}

// Known tells whether a format is one.
func (f Format) Known() bool { return slices.Contains(Formats, f) }

// seals keep all from changing the contents, the size and the seals.
const seals = unix.F_SEAL_WRITE | unix.F_SEAL_GROW | unix.F_SEAL_SHRINK | unix.F_SEAL_SEAL

// Print is a picture of a caller's own. It is for one goroutine at a time.
type Print struct {
	file   *os.File
	reader int // the caller's; -1 before it is open and after TakeFD
}

// Print makes one of what QEMU has written, which takes some 40 ms for 1920 by 1080 pixels of text as PNG and up to a
// second for noise. It fails with ErrTooLarge, wrapped, or where what QEMU has written is no picture.
func (f *File) Print(format Format) (*Print, error) {
	from, err := f.open()
	if err != nil {
		return nil, err
	}
	file, err := newMemory("screenshot")
	if err != nil {
		return nil, err
	}
	p := &Print{file, -1}
	if err := p.expose(from, format); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// expose writes and seals the file, and opens it for the caller.
func (p *Print) expose(from *ppm, format Format) error {
	if err := from.write(p.file, format); err != nil {
		return err
	}
	if err := seal(p.file); err != nil {
		return err
	}
	reader, err := reopen(p.file, unix.O_RDONLY)
	if err != nil {
		return err
	}
	p.reader = reader
	return os.NewSyscallError("flock", unix.Flock(reader, unix.LOCK_SH))
}

// sealTries is how often sealing is tried. The kernel refuses it, after 150 ms, while it has a page of the file in its own hands
// (memfd_wait_for_pins in its mm/memfd.c), as it was seen to once on a busy machine: nobody else has the file.
const sealTries = 10

// seal keeps all from changing a file.
func seal(file *os.File) (err error) {
	for range sealTries {
		if _, err = unix.FcntlInt(file.Fd(), unix.F_ADD_SEALS, seals); !errors.Is(err, unix.EBUSY) {
			break
		}
	}
	return os.NewSyscallError("fcntl", err)
}

// TakeFD hands over the descriptor that is for the caller, open for reading. It is there once.
func (p *Print) TakeFD() int {
	fd := p.reader
	p.reader = -1
	return fd
}

// Held tells whether the descriptor that was handed over, a copy of it or a mapping, is open still, or on its way. It is by a
// lock that belongs to the descriptor. Who has that can give the lock up: so Held bounds what has not arrived yet, and
// what the well-meaning keep.
func (p *Print) Held() bool {
	return errors.Is(unix.Flock(int(p.file.Fd()), unix.LOCK_EX|unix.LOCK_NB), unix.EWOULDBLOCK)
}

// Close lets go of the picture. Who has the descriptor has it still.
func (p *Print) Close() error {
	err := p.file.Close()
	if p.reader >= 0 {
		err = errors.Join(err, unix.Close(p.TakeFD()))
	}
	return err
}
