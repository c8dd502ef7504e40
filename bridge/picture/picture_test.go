package picture_test

import (
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/bridge/picture"
	"qmp-dbus-bridge/qmp/fdtest"
)

// written is a File that QEMU has written text into.
func written(t *testing.T, text string) *picture.File {
	t.Helper()
	f, err := picture.NewFile()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	write(t, f, text)
	return f
}

func write(t *testing.T, f *picture.File, text string) {
	t.Helper()
	w, err := f.Writer()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(w)
	if mode, err := unix.FcntlInt(uintptr(w), unix.F_GETFL, 0); err != nil || mode&unix.O_ACCMODE != unix.O_WRONLY {
		t.Errorf("QEMU's descriptor has mode %#x, %v", mode, err)
	}
	for len(text) > 0 {
		n, err := unix.Write(w, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		text = text[n:]
	}
}

// read reads what is for the caller, and lets go of all.
func read(t *testing.T, p *picture.Print) string {
	t.Helper()
	file := os.NewFile(uintptr(p.TakeFD()), "print")
	defer file.Close()
	text, err := io.ReadAll(file)
	if err := errors.Join(err, p.Close()); err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// ppm is a picture of that size, in which no two neighbours are the same.
func ppm(width, height int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "P6\n%d %d\n255\n", width, height)
	for i := range width * height {
		b.Write([]byte{byte(i), byte(i >> 8), byte(i >> 3)})
	}
	return b.String()
}

func TestPrint(t *testing.T) {
	fdtest.Check(t)
	const width, height = 300, 200
	text := ppm(width, height)
	f := written(t, text)
	p, err := f.Print(picture.PPM)
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, p); got != text {
		t.Errorf("a PPM of %d bytes is another", len(got))
	}
	p, err = f.Print(picture.PNG)
	if err != nil {
		t.Fatal(err)
	}
	got, err := png.Decode(strings.NewReader(read(t, p)))
	if err != nil {
		t.Fatal(err)
	}
	if got.Bounds() != image.Rect(0, 0, width, height) {
		t.Errorf("bounds %v", got.Bounds())
	}
	for i := range width * height {
		want := color.RGBA{byte(i), byte(i >> 8), byte(i >> 3), 0xff}
		if c := color.RGBAModel.Convert(got.At(i%width, i/width)); c != want {
			t.Fatalf("pixel %d is %v, want %v", i, c, want)
		}
	}
}

// A file that is used again begins at its beginning.
func TestEmpty(t *testing.T) {
	fdtest.Check(t)
	f := written(t, ppm(7, 7))
	if err := f.Empty(); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Print(picture.PPM); !errors.Is(err, picture.ErrNoPicture) {
		t.Errorf("Print of nothing: %v", err)
	}
	write(t, f, ppm(3, 2))
	p, err := f.Print(picture.PPM)
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, p); got != ppm(3, 2) {
		t.Errorf("%q", got)
	}
}

func TestNoPicture(t *testing.T) {
	fdtest.Check(t)
	good := ppm(2, 2)
	for _, text := range []string{
		"", "P", "P6\n", "P6\n2 2\n", "P6\n2 2\n255", "P6\n2 2\n255\n",
		good[:len(good)-1], good + "x",
		strings.Replace(good, "P6", "P5", 1), strings.Replace(good, "255", "65535", 1), strings.Replace(good, "2 2", "2 -2", 1),
		strings.Replace(good, "2 2", "0 0", 1), strings.Replace(good, "2 2", "4", 1), strings.Replace(good, "2 2", "2 2 2", 1),
		"P6\n0 0\n255\n", "P6\n65537 0\n255\n", "P6\n-1 -1\n255\nxxx", "P6\n9223372036854775807 9223372036854775807\n255\n",
		"P6\n65537 1\n255\n" + strings.Repeat("x", 3*65537), strings.Repeat("\n", 100), strings.Repeat("x", 1<<20),
	} {
		f := written(t, text)
		for _, format := range picture.Formats {
			if p, err := f.Print(format); !errors.Is(err, picture.ErrNoPicture) {
				t.Errorf("Print(%s) of %.40q = %v, %v, want ErrNoPicture", format, text, p, err)
			}
		}
	}
}

func TestMaxSize(t *testing.T) {
	fdtest.Check(t)
	const header = "P6\n65536 341\n255\n" // 67 043 328 bytes of pixels: the most rows of the most pixels that fit
	for rows, want := range map[int]error{341: nil, 342: picture.ErrTooLarge} {
		f := written(t, strings.Replace(header, "341", fmt.Sprint(rows), 1))
		resize(t, f, int64(len(header)+3*65536*rows))
		p, err := f.Print(picture.PPM)
		if !errors.Is(err, want) {
			t.Errorf("%d rows: %v, want %v", rows, err, want)
		}
		if err == nil {
			read(t, p)
		}
	}
	f := written(t, "")
	for size, want := range map[int64]error{picture.MaxSize: picture.ErrNoPicture, picture.MaxSize + 1: picture.ErrTooLarge} {
		resize(t, f, size)
		if _, err := f.Print(picture.PPM); !errors.Is(err, want) {
			t.Errorf("%d bytes: %v, want %v", size, err, want)
		}
	}
}

func resize(t *testing.T, f *picture.File, size int64) {
	t.Helper()
	w, err := f.Writer()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(w)
	if err := unix.Ftruncate(w, size); err != nil {
		t.Fatal(err)
	}
}

// QEMU keeps its descriptor: what the caller has stays as it is, and the file is empty once it is closed.
func TestQEMUKeepsItsOwn(t *testing.T) {
	fdtest.Check(t)
	f, err := picture.NewFile()
	if err != nil {
		t.Fatal(err)
	}
	w, err := f.Writer()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(w)
	write(t, f, ppm(2, 2))
	p, err := f.Print(picture.PPM)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	var stat unix.Stat_t
	if err := unix.Fstat(w, &stat); err != nil || stat.Size != 0 {
		t.Errorf("the file has %d bytes, %v", stat.Size, err)
	}
	if _, err := unix.Write(w, []byte("later")); err != nil {
		t.Error(err)
	}
	if got := read(t, p); got != ppm(2, 2) {
		t.Errorf("%q", got)
	}
}

func TestHeld(t *testing.T) {
	fdtest.Check(t)
	p, err := written(t, ppm(2, 2)).Print(picture.PPM)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	fd := p.TakeFD()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Sendmsg(pair[0], []byte("x"), unix.UnixRights(fd), nil, 0); err != nil {
		t.Fatal(err)
	}
	unix.Close(fd)
	if !p.Held() {
		t.Error("it is not held while it is on its way")
	}
	unix.Close(pair[0])
	unix.Close(pair[1])
	if p.Held() {
		t.Error("it is held by nobody")
	}
}
