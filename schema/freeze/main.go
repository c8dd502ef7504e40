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
