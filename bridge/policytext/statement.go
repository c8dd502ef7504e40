package policytext

import (
	"fmt"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
)

// Statement is one policy of a file. It is made by Parse alone, and never changes.
type Statement struct {
	Rule *cedar.Policy
	File string
	place
	text string
}

// Where is FILE:LINE:COLUMN.
func (s Statement) Where() string { return fmt.Sprintf("%s:%d:%d", s.File, s.line, s.column) }

// Tree is the policy's syntax tree, which is not to be changed.
func (s Statement) Tree() *ast.Policy { return (*ast.Policy)(s.Rule.AST()) }

// Check returns what the policy says that can't be meant, in the order of the text: words that mean nothing, relations that
// never hold, values of a kind that can't be evaluated where they stand and, if there is nothing of these, looks at what
// may not be there without asking.
func (s Statement) Check() Problems { return checkWording(s).InOrder() }

// Problem is one of the policy as a whole, at its beginning.
func (s Statement) Problem(format string, values ...any) Problem {
	return s.problem(s.File, format, values...)
}

// ProblemAt is one at each place where the policy has this entity, or at its beginning where there is none.
func (s Statement) ProblemAt(uid cedar.EntityUID, format string, values ...any) Problems {
	w := &wording{file: s.File, tokens: s.tokens()}
	w.report(w.tokens.entityPlaces(uid), format, values...)
	return w.problems
}

// tokens are those of the statement alone.
func (s Statement) tokens() tokens {
	return tokenize(s.text, s.place, func(place, string) {}) // Parse has seen to errors
}

func (p place) problem(file, format string, values ...any) Problem {
	return Problem{File: file, Line: p.line, Column: p.column, Text: fmt.Sprintf(format, values...)}
}
