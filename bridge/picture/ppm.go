package picture

import (
	"bufio"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
)

// MaxSize is how large a picture may be as QEMU writes it, bytes: one of 5120 by 2880 pixels has 44 MB.
const MaxSize = 64 << 20

// ErrTooLarge is the cause (errors.Is) where QEMU has written more than MaxSize.
var ErrTooLarge = errors.New("the picture is too large")

// ErrNoPicture is the cause where it is none.
var ErrNoPicture = errors.New("what QEMU wrote is no picture")

// What a PPM consists of.
const (
	bytesPerPixel = 3
	maxSide       = 1 << 16 // pixels; keeps their product from overflowing
	bufferSize    = 64 << 10
)

// ppm is one that is being read.
type ppm struct {
	all           *io.SectionReader // from the beginning
	pixels        *bufio.Reader     // behind the header
	width, height int
}

// open reads the header of what QEMU has written, and checks that as many pixels follow as it says. They may change or
// be gone when they are read.
func (f *File) open() (*ppm, error) {
	stat, err := f.file.Stat()
	if err != nil {
		return nil, err
	}
	size := stat.Size()
	if size > MaxSize {
		return nil, fmt.Errorf("%w: %d bytes, over %d", ErrTooLarge, size, MaxSize)
	}
	p := &ppm{all: io.NewSectionReader(f.file, 0, size)}
	p.pixels = bufio.NewReaderSize(io.NewSectionReader(f.file, 0, size), bufferSize)
	header, err := p.readHeader()
	if err != nil || size != int64(header)+int64(p.width)*int64(p.height)*bytesPerPixel {
		return nil, ErrNoPicture
	}
	return p, nil
}

// readHeader reads what is before the pixels, and tells how many bytes it has.
func (p *ppm) readHeader() (size int, err error) {
	var lines []string
	for range 3 {
		line, err := p.pixels.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		lines = append(lines, string(line))
		size += len(line)
	}
	_, err = fmt.Sscanf(lines[1], "%d %d\n", &p.width, &p.height)
	switch {
	case err != nil:
		return 0, err
	case lines[0] != "P6\n", lines[2] != "255\n", p.width <= 0, p.height <= 0, p.width > maxSide, p.height > maxSide:
		return 0, ErrNoPicture
	}
	return size, nil
}

// write writes the picture in a format.
func (p *ppm) write(to io.Writer, format Format) error {
	if format == PPM {
		n, err := io.Copy(struct{ io.Writer }{to}, p.all) // by read and write, which the sandbox allows
		if err == nil && n != p.all.Size() {
			err = ErrNoPicture
		}
		return err
	}
	picture, err := p.image()
	if err != nil {
		return err
	}
	encoder := png.Encoder{CompressionLevel: png.BestSpeed}
	return encoder.Encode(to, picture)
}

// image reads the pixels.
func (p *ppm) image() (*image.RGBA, error) {
	picture := image.NewRGBA(image.Rect(0, 0, p.width, p.height))
	row := make([]byte, p.width*bytesPerPixel)
	for y := range p.height {
		if _, err := io.ReadFull(p.pixels, row); err != nil {
			return nil, ErrNoPicture
		}
		to := picture.Pix[y*picture.Stride:]
		for x := range p.width {
			copy(to[4*x:], row[bytesPerPixel*x:][:bytesPerPixel])
			to[4*x+3] = 0xff
		}
	}
	return picture, nil
}
