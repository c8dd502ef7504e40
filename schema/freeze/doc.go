// Freeze keeps the table of frozen lists, schema/frozen.tsv: which members of a
// QMP command's arguments are arguments of its D-Bus method. It reads the table
// and the captured schemas (what query-qmp-schema returned, one file each) of a
// directory, and writes the table with the commands that were not in it.
//
//	go run ./freeze -table frozen.tsv testdata/schemas
//
// The table remembers releases whose schemas are not there. What is in it stays:
// where a schema contradicts it, because an argument is gone, has become optional
// or is of another type, nothing is written, and the exit status is 1. With -anew
// the table is made of the schemas alone; the D-Bus interface needs another name
// then.
//
// # Limits
//
// It is a tool of this repository and has none: what it reads is its own.
package main
