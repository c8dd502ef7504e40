package rig

import (
	"image"
	"image/color"
	"image/draw"
	"testing"
)

// The VGA's text screen: 80 columns and 25 rows of cells that are 9 by 16 pixels.
const (
	screenWidth, screenHeight = 80 * 9, 25 * 16
	barWidth                  = screenWidth / 8
)

// bars are the eight colours of a terminal as the VGA shows them: its palette has 6 bits a
// colour, 0x15 and 0x2a here, which QEMU widens to 8.
var bars = []color.RGBA{
	{0x00, 0x00, 0x00, 0xff},
	{0xa8, 0x00, 0x00, 0xff},
	{0x00, 0xa8, 0x00, 0xff},
	{0xa8, 0x57, 0x00, 0xff},
	{0x00, 0x00, 0xa8, 0xff},
	{0xa8, 0x00, 0xa8, 0xff},
	{0x00, 0xa8, 0xa8, 0xff},
	{0xa8, 0xa8, 0xa8, 0xff},
}

// paint fills the foreground console with eight bars, and hides the cursor.
const paint = `(for row in $(seq 25); do printf '\033[%d;1H' $row;` +
	` for colour in 0 1 2 3 4 5 6 7; do printf '\033[4%dm%10s' $colour ''; done; done; printf '\033[0m\033[?25l') >/dev/tty1`

// Paint has a guest that has a VGA ("-vga", "std") paint its screen, and returns the picture
// that is to be seen there: the eight colours of a terminal from left to right.
func (s *Shell) Paint(t testing.TB) *image.RGBA {
	t.Helper()
	s.Run(t, paint)
	picture := image.NewRGBA(image.Rect(0, 0, screenWidth, screenHeight))
	for i, colour := range bars {
		bar := image.Rect(i*barWidth, 0, (i+1)*barWidth, screenHeight)
		draw.Draw(picture, bar, image.NewUniform(colour), image.Point{}, draw.Src)
	}
	return picture
}
