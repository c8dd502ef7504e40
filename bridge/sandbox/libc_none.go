//go:build !cgo

package sandbox

// ofLibc is empty: there is no C code in the process.
var ofLibc []uint32
