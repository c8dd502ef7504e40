package policytext

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/cedar-policy/cedar-go/x/exp/ast"
)

// guards walks through a policy's conditions in the order in which Cedar evaluates them, and finds looks at what a call may
// not have. Cedar makes those errors, and an error denies: a policy for everything that looks at an argument of one command
// would deny all others, to everybody. What counts as asked is what is on the right of && or in then, where on
// the left or behind if there is "has"; likewise behind not, || and else.
//
// Left to the policy's author is what a call lacks that the policy is about: see missing.
type guards struct {
	*wording
	scope scopeOfArguments
	seen  map[string]int // looks at a path, with "has"
	bad   []look
}

// look is one at a path, which was the nth.
type look struct {
	variable string
	names    []string
	nth      int
	why      string
}

// guard reports looks at what may not be there.
func (w *wording) guard() {
	g := &guards{wording: w, scope: scopeOfArgumentsIn(w.rule), seen: make(map[string]int)}
	var known *facts
	for _, condition := range w.rule.Conditions {
		met, unmet := g.walk(condition.Body, known)
		known = met
		if condition.Condition == ast.ConditionUnless {
			known = unmet
		}
	}
	for _, one := range g.bad {
		w.report(g.placeOf(one), "%s", one.why)
	}
}

// placeOf is where a look stands, or, where the text has others than the tree, the first like it.
func (g *guards) placeOf(one look) []place {
	places := g.tokens.attributePlaces(one.variable, one.names)
	switch {
	case len(places) == 0:
		return nil
	case len(places) == g.seen[factOf(one.variable, one.names)]:
		return places[one.nth : one.nth+1]
	}
	return places[:1]
}

// walk returns what is known to be there once n was true, and once it was false, where known is what was before.
func (g *guards) walk(n ast.IsNode, known *facts) (ifTrue, ifFalse *facts) {
	switch n := n.(type) {
	case ast.NodeTypeAnd:
		met, unmet := g.walk(n.Left, known)
		both, neither := g.walk(n.Right, met)
		return both, unmet.common(neither)
	case ast.NodeTypeOr:
		met, unmet := g.walk(n.Left, known)
		also, none := g.walk(n.Right, unmet)
		return met.common(also), none
	case ast.NodeTypeNot:
		met, unmet := g.walk(n.Arg, known)
		return unmet, met
	case ast.NodeTypeIfThenElse:
		met, unmet := g.walk(n.If, known)
		thenTrue, thenFalse := g.walk(n.Then, met)
		elseTrue, elseFalse := g.walk(n.Else, unmet)
		return thenTrue.common(elseTrue), thenFalse.common(elseFalse)
	case ast.NodeTypeHas:
		g.walk(n.Arg, known)
		if variable, names, ok := chain(plain(ast.NodeTypeAccess(n))); ok {
			g.count(variable, names)
			return known.with(factOf(variable, names)), known
		}
		return known, known
	case ast.NodeTypeAccess:
		g.walk(n.Arg, known)
		g.access(n, known)
		return known, known
	}
	inside := false
	ast.Inspect(ast.NewNode(n), func(child ast.IsNode) bool {
		if inside {
			g.walk(child, known)
			return false
		}
		inside = true // n itself comes first
		return true
	})
	return known, known
}

func (g *guards) count(variable string, names []string) (nth int) {
	fact := factOf(variable, names)
	g.seen[fact]++
	return g.seen[fact] - 1
}

func (g *guards) access(n ast.NodeTypeAccess, known *facts) {
	flat := plain(n)
	access, ok := flat.(ast.NodeTypeAccess)
	if !ok {
		return // a member of a record that the policy itself has written
	}
	variable, names, ok := chain(access)
	if !ok {
		if _, literal := access.Arg.(ast.NodeValue); !literal { // that has been reported
			g.report(g.tokens.attributePlaces("", []string{string(n.Value)}), "%q of what is known only in a call: write it behind then and else, or as a whole", n.Value)
		}
		return
	}
	nth := g.count(variable, names)
	if known.has(factOf(variable, names)) {
		return
	}
	if why := g.missing(variable, names); why != "" {
		g.bad = append(g.bad, look{variable, names, nth, why})
	}
}

// plain is a node in which members of records that stand in the policy itself are what they are there.
func plain(n ast.IsNode) ast.IsNode {
	access, ok := n.(ast.NodeTypeAccess)
	if !ok {
		return n
	}
	access.Arg = plain(access.Arg)
	if record, ok := access.Arg.(ast.NodeTypeRecord); ok {
		for _, element := range record.Elements {
			if element.Key == access.Value {
				return plain(element.Value)
			}
		}
	}
	return access
}

// missing says why it may be missing, with what to do; nothing where it can't be, or where that is left to the author.
func (g *guards) missing(variable string, names []string) string {
	path, ask := written(variable, names), written(variable, names[:len(names)-1])+" has "+word(names[len(names)-1])
	switch what := strings.Join(names, "."); {
	case what == "label":
		return fmt.Sprintf("reads %s, which callers without a security label don't have, and all their calls would be denied: ask %s before", path, ask)
	case variable == "principal" && what == "selinux":
		return fmt.Sprintf("reads %s, which callers without an SELinux label don't have, and all their calls would be denied: ask %s before", path, ask)
	case variable == "principal" && (what == "selinux.sensitivity" || what == "selinux.categories"):
		return fmt.Sprintf("reads %s, which labels without a level don't have, and all calls with one would be denied: ask %s before", path, ask)
	case variable == "context" && names[0] == "arguments" && len(names) > 1:
		if who := g.scope.without(names[1]); who != "" {
			return fmt.Sprintf("reads %s, which %s ask %s before", path, who, ask)
		}
	}
	return ""
}

// written is a path as policies have it.
func written(variable string, names []string) string {
	for _, name := range names {
		if identifier.MatchString(name) {
			variable += "." + name
		} else {
			variable += "[" + strconv.Quote(name) + "]"
		}
	}
	return variable
}

func word(name string) string {
	if identifier.MatchString(name) {
		return name
	}
	return strconv.Quote(name)
}

var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// facts are paths that are known to be there: a list that only grows, whose tails are shared. nil is none.
type facts struct {
	fact  string
	below *facts
	size  int
}

// factOf names a path. A caller has the label in both places, or in none.
func factOf(variable string, names []string) string {
	if variable == "context" && len(names) == 1 && names[0] == "label" {
		variable = "principal"
	}
	for _, name := range names {
		variable += "." + strconv.Quote(name)
	}
	return variable
}

func (f *facts) len() int {
	if f == nil {
		return 0
	}
	return f.size
}

func (f *facts) with(fact string) *facts { return &facts{fact, f, f.len() + 1} }

func (f *facts) has(fact string) bool {
	for ; f != nil; f = f.below {
		if f.fact == fact {
			return true
		}
	}
	return false
}

// common are the facts of both.
func (f *facts) common(other *facts) *facts {
	tail, end := f, other
	for tail != end {
		if tail.len() >= end.len() {
			tail = tail.below
		} else {
			end = end.below
		}
	}
	all := tail
	for ; f != tail; f = f.below {
		for o := other; o != tail; o = o.below {
			if o.fact == f.fact {
				all = all.with(f.fact)
				break
			}
		}
	}
	return all
}
