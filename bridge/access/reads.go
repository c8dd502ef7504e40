package access

import (
	"slices"

	"github.com/cedar-policy/cedar-go/x/exp/ast"
)

// reads is what a policy's conditions look at that not every call or caller has, or has in a form that Cedar can
// hold.
type reads struct {
	busNames      bool
	arguments     []argumentRead
	argumentNames bool
}

// argumentRead is one look at context.arguments.
type argumentRead struct {
	path  argumentPath // with all below it
	asked bool         // by "has": whether it is there, not what it is
}

// ofCall tells whether anything depends on the arguments of the call.
func (r *reads) ofCall() bool { return r.argumentNames || len(r.arguments) > 0 }

// missed finds an argument that is looked at, above or below what is looked at, among those that
// Cedar can't hold.
func (r *reads) missed(lost []argumentPath) (argumentPath, bool) {
	for _, path := range lost {
		if slices.ContainsFunc(r.arguments, func(read argumentRead) bool { return read.touches(path) }) {
			return path, true
		}
	}
	return nil, false
}

func (r argumentRead) touches(lost argumentPath) bool {
	return r.path.startsWith(lost) || !r.asked && lost.startsWith(r.path)
}

func (p argumentPath) startsWith(above argumentPath) bool {
	return len(p) >= len(above) && slices.Equal(p[:len(above)], above)
}

// readsOf walks through a policy's conditions.
func readsOf(rule *ast.Policy) reads {
	var r reads
	for _, condition := range rule.Conditions {
		ast.Inspect(ast.NewNode(condition.Body), func(node ast.IsNode) bool {
			path, ok := contextPath(node)
			if !ok {
				r.busNames = r.busNames || attributeOf(node) == "busNames"
				return true
			}
			_, asked := node.(ast.NodeTypeHas)
			r.add(path, asked)
			return false
		})
	}
	return r
}

// attributeOf is what a node looks at in an entity or record.
func attributeOf(node ast.IsNode) string {
	switch n := node.(type) {
	case ast.NodeTypeAccess:
		return string(n.Value)
	case ast.NodeTypeHas:
		return string(n.Value)
	}
	return ""
}

// contextPath is the way that a node goes into the context: none for the context itself, "arguments" and "driver" for
// context.arguments.driver and for context.arguments has driver.
func contextPath(node ast.IsNode) (argumentPath, bool) {
	switch n := node.(type) {
	case ast.NodeTypeVariable:
		return nil, n.Name == "context"
	case ast.NodeTypeAccess:
		return contextPathTo(n.StrOpNode)
	case ast.NodeTypeHas:
		return contextPathTo(n.StrOpNode)
	}
	return nil, false
}

func contextPathTo(n ast.StrOpNode) (argumentPath, bool) {
	path, ok := contextPath(n.Arg)
	return append(path, string(n.Value)), ok
}

func (r *reads) add(path argumentPath, asked bool) {
	switch {
	case len(path) == 0: // the context as a whole
		r.argumentNames = true
		r.arguments = append(r.arguments, argumentRead{})
	case path[0] == "argumentNames":
		r.argumentNames = true
	case path[0] == "arguments" && len(path) == 1 && asked: // every call has them
	case path[0] == "arguments":
		r.arguments = append(r.arguments, argumentRead{path[1:], asked})
	}
}

// readNames tells whether one looks at the names of arguments.
func (p policies) readNames() bool {
	return slices.ContainsFunc(p, func(one *policy) bool { return one.reads.argumentNames })
}

// wanted is what has to be read of a call's arguments.
type wanted struct {
	names   bool
	all     bool
	members []string // at the top
}

func wantedBy(open policies) (w wanted) {
	for _, one := range open {
		w.names = w.names || one.reads.argumentNames
		for _, read := range one.reads.arguments {
			if len(read.path) == 0 {
				w.all = true
			} else {
				w.add(read.path[0])
			}
		}
	}
	return w
}

func (w *wanted) add(name string) {
	if !slices.Contains(w.members, name) {
		w.members = append(w.members, name)
	}
}

func (w *wanted) member(name string) bool { return w.all || slices.Contains(w.members, name) }
