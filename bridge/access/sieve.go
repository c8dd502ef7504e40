package access

import (
	"slices"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
)

// sieve leaves out policies that are plainly not satisfied by a call, because an argument would have to be another string:
// one of 100 policies takes Cedar some 100 ns. It changes no decision: it never leaves out
// one that Cedar would find in error.
type sieve struct {
	paths []argumentPath // of the arguments that are compared, each once
	tests []test         // each once
	begin [][]int        // the tests that each policy begins with
}

// test is one comparison of an argument with a string.
type test struct {
	path    int  // in sieve.paths
	pattern bool // any string passes; Cedar will see to the pattern
	text    cedar.String
}

func newSieve(open policies) sieve {
	var s sieve
	for _, one := range open {
		s.begin = append(s.begin, s.testsOf(one.Tree()))
	}
	return s
}

// testsOf are those that a policy's conditions begin with. All that comes before a test can't be in error, given that the
// tests before it could be made.
func (s *sieve) testsOf(rule *ast.Policy) (tests []int) {
	for _, condition := range rule.Conditions {
		if condition.Condition != ast.ConditionWhen {
			break
		}
		for _, node := range conjuncts(condition.Body) {
			if isTotal(node) {
				continue
			}
			path, t, ok := testOf(node)
			if !ok {
				return tests
			}
			tests = append(tests, s.add(path, t))
		}
	}
	return tests
}

// conjuncts are the parts of a chain of &&, in the order in which they are evaluated.
func conjuncts(node ast.IsNode) []ast.IsNode {
	if and, ok := node.(ast.NodeTypeAnd); ok {
		return append(conjuncts(and.Left), conjuncts(and.Right)...)
	}
	return []ast.IsNode{node}
}

// isTotal recognizes conditions that are true or false of any call: context.arguments has NAME,
// [STRING, ...].containsAll(context.argumentNames).
func isTotal(node ast.IsNode) bool {
	switch n := node.(type) {
	case ast.NodeTypeHas:
		path, ok := contextPath(n.Arg)
		return ok && slices.Equal(path, argumentPath{"arguments"})
	case ast.NodeTypeContainsAll:
		path, ok := contextPath(n.Right)
		return ok && slices.Equal(path, argumentPath{"argumentNames"}) && isLiteralSet(n.Left)
	}
	return false
}

func isLiteralSet(node ast.IsNode) bool {
	set, ok := node.(ast.NodeTypeSet)
	return ok && !slices.ContainsFunc(set.Elements, func(element ast.IsNode) bool {
		_, ok := element.(ast.NodeValue)
		return !ok
	})
}

// testOf recognizes context.arguments.PATH == STRING and context.arguments.PATH like PATTERN.
func testOf(node ast.IsNode) (argumentPath, test, bool) {
	switch n := node.(type) {
	case ast.NodeTypeEquals:
		path, ok := argumentOf(n.Left)
		value, isValue := n.Right.(ast.NodeValue)
		if !ok || !isValue {
			return nil, test{}, false
		}
		text, ok := value.Value.(cedar.String)
		return path, test{text: text}, ok
	case ast.NodeTypeLike:
		path, ok := argumentOf(n.Arg)
		return path, test{pattern: true}, ok
	}
	return nil, test{}, false
}

// argumentOf is the argument that a node stands for.
func argumentOf(node ast.IsNode) (argumentPath, bool) {
	if _, ok := node.(ast.NodeTypeAccess); !ok {
		return nil, false
	}
	path, ok := contextPath(node)
	if !ok || len(path) < 2 || path[0] != "arguments" {
		return nil, false
	}
	return path[1:], true
}

// add returns the number of the test.
func (s *sieve) add(path argumentPath, t test) int {
	t.path = slices.IndexFunc(s.paths, func(known argumentPath) bool { return slices.Equal(known, path) })
	if t.path < 0 {
		t.path = len(s.paths)
		s.paths = append(s.paths, path)
	}
	if i := slices.Index(s.tests, t); i >= 0 {
		return i
	}
	s.tests = append(s.tests, t)
	return len(s.tests) - 1
}

// outcome is that of a test.
type outcome byte

const (
	passed outcome = iota
	unequal
	impossible // in error, perhaps: Cedar has to say
)

// sift returns those of the policies, for which the sieve was made, that may be satisfied or in error.
func (s *sieve) sift(open policies, given *arguments) policies {
	var room [128]outcome
	outcomes := s.try(room[:0], given)
	chosen := make(policies, 0, 8)
	for i, one := range open {
		if !fails(s.begin[i], outcomes) {
			chosen = append(chosen, one)
		}
	}
	return chosen
}

// try makes each test.
func (s *sieve) try(outcomes []outcome, given *arguments) []outcome {
	var room [8]cedar.Value
	values := room[:0]
	for _, path := range s.paths {
		values = append(values, given.at(path))
	}
	for i := range s.tests {
		outcomes = append(outcomes, s.tests[i].of(values[s.tests[i].path]))
	}
	return outcomes
}

func (t *test) of(value cedar.Value) outcome {
	text, isString := value.(cedar.String)
	switch {
	case value == nil, t.pattern && !isString:
		return impossible
	case t.pattern, isString && text == t.text:
		return passed
	default:
		return unequal
	}
}

// fails tells whether a test is not passed, and none before it is impossible.
func fails(tests []int, outcomes []outcome) bool {
	for _, t := range tests {
		if outcomes[t] != passed {
			return outcomes[t] == unequal
		}
	}
	return false
}

// at is the argument at a path, nil if there is none.
func (a *arguments) at(path argumentPath) cedar.Value {
	var value cedar.Value = a.record
	for _, name := range path {
		record, ok := value.(cedar.Record)
		if !ok {
			return nil
		}
		if value, ok = record.Get(cedar.String(name)); !ok {
			return nil
		}
	}
	return value
}
