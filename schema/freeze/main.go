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
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
)

func main() { os.Exit(run(os.Args[1:], os.Stderr)) }

func run(args []string, stderr io.Writer) int {
	flags := flag.NewFlagSet("freeze", flag.ContinueOnError)
	flags.SetOutput(stderr)
	path := flags.String("table", "frozen.tsv", "the table")
	anew := flags.Bool("anew", false, "forget what the table has")
	if err := flags.Parse(args); err != nil || flags.NArg() != 1 {
		fmt.Fprintln(stderr, "usage: freeze [-anew] [-table FILE] DIRECTORY")
		return 2
	}
	if err := freeze(*path, flags.Arg(0), *anew); err != nil {
		fmt.Fprintln(stderr, "freeze:", err)
		return 1
	}
	return 0
}

// freeze brings the table at path up to the schemas in a directory.
func freeze(path, directory string, anew bool) error {
	t := make(table)
	if !anew {
		old, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if t, err = parseTable(string(old)); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	captures, err := readCaptures(directory)
	if err != nil {
		return err
	}
	if err := t.merge(captures); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(t.String()), 0o644)
}
