// Package picture makes pictures that callers may keep of those that QEMU writes, without a file on any disk.
//
//	file, err := picture.NewFile()       // QEMU gets file.Writer(), and writes a PPM
//	print, err := file.Print(picture.PNG)
//	send(print.TakeFD())                 // sealed and read-only
//	for print.Held() { ... }             // somebody still has it
//	print.Close()
//
// QEMU writes PPM (netpbm's, "P6" with 8 bits a colour), which every version of it can, and the PNG is made here. QEMU's own,
// from 7.1 on, costs its guest more time, since QEMU stands still meanwhile (7.2.22, 720 by 400 pixels: 18 ms, 3 ms for
// the PPM); and each leaves a record of the fdset behind in QEMU that nothing removes (7.2.22, 10.0.2).
//
// A File and what QEMU has of it are of one memory; a Print has another, which QEMU has never seen: it can't change it, nor
// keep it alive.
//
// Limits: a picture has at most MaxSize bytes, as PPM, and making its PNG takes four thirds of that in memory. QEMU can make a
// File as large as it likes, of memory that is accounted to QEMU; past the limit it is emptied.
package picture
