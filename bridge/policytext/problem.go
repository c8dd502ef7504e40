package policytext

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is what is wrong at one place of a policy file.
type Problem struct {
	File         string
	Line, Column int // from 1, columns in characters; 0 where the whole file is meant
	Text         string
}

// Error is FILE:LINE:COLUMN: and the text.
func (p Problem) Error() string {
	if p.Line == 0 {
		return p.File + ": " + p.Text
	}
	return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Text)
}

// Problems are all that is wrong, in the order of the files and their lines; it is what is wrong with policy files as an error.
type Problems []Problem

// Error has one line for each.
func (all Problems) Error() string {
	lines := make([]string, len(all))
	for i, p := range all {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// InOrder sorts the problems of one file, each once.
func (all Problems) InOrder() Problems {
	slices.SortStableFunc(all, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return slices.Compact(all)
}

// Unwrap makes Problems what errors.Join would have made of them.
func (all Problems) Unwrap() []error {
	errs := make([]error, len(all))
	for i, p := range all {
		errs[i] = p
	}
	return errs
}
