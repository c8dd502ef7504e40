package policytext

import (
	"maps"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
)

// wording checks the words of one policy: a name that means nothing never matches, and a forbid that never matches
// stops nobody. It walks Cedar's syntax tree and looks its finds up in the text.
type wording struct {
	file     string
	rule     *ast.Policy
	tokens   tokens
	problems Problems
}

// checkWording returns what a policy says that can't be meant.
func checkWording(s Statement) Problems {
	w := &wording{file: s.File, rule: s.Tree(), tokens: s.tokens()}
	for name := range s.Rule.Annotations() {
		if name != "id" && strings.EqualFold(string(name), "id") {
			w.report(nil, "@%s means nothing: write @id", name)
		}
	}
	w.scope("principal", w.rule.Principal)
	w.scope("action", w.rule.Action)
	w.scope("resource", w.rule.Resource)
	for _, condition := range w.rule.Conditions {
		ast.Inspect(ast.NewNode(condition.Body), w.node)
	}
	w.typecheck()
	if len(w.problems) == 0 { // else what is meant is not known
		w.guard()
	}
	return w.problems
}

// report adds a problem at each of the places, or that of the policy where there are none.
func (w *wording) report(places []place, format string, values ...any) {
	if len(places) == 0 {
		places = []place{w.tokens[0].place}
	}
	for _, at := range places {
		w.problems = append(w.problems, at.problem(w.file, format, values...))
	}
}

func (w *wording) scope(variable string, scope ast.IsScopeNode) {
	switch scope := scope.(type) {
	case ast.ScopeTypeEq:
		w.equals(variable, scope.Entity)
	case ast.ScopeTypeIn:
		w.isIn(variable, scope.Entity)
	case ast.ScopeTypeInSet:
		w.isIn(variable, scope.Entities...)
	case ast.ScopeTypeIs:
		w.isOf(variable, scope.Type)
	case ast.ScopeTypeIsIn:
		w.isOf(variable, scope.Type)
		w.isIn(variable, scope.Entity)
	}
}

// node checks one node of a condition; the answer says whether its children are to be checked too.
func (w *wording) node(n ast.IsNode) bool {
	switch n := n.(type) {
	case ast.NodeTypeAccess:
		return w.attribute(n.Arg, string(n.Value))
	case ast.NodeTypeHas:
		return w.attribute(n.Arg, string(n.Value))
	case ast.NodeTypeGetTag, ast.NodeTypeHasTag:
		w.report(nil, "nothing here has tags")
	case ast.NodeTypeIs:
		w.is(n)
	case ast.NodeTypeIsIn:
		w.is(n.NodeTypeIs)
		w.relation(n.Left, n.Entity, w.isIn)
	case ast.NodeTypeIn:
		w.relation(n.Left, n.Right, w.isIn)
	case ast.NodeTypeEquals:
		w.comparison(n.BinaryNode)
	case ast.NodeTypeNotEquals:
		w.comparison(n.BinaryNode)
	case ast.NodeValue:
		w.entity(n.Value)
	}
	return true
}

// comparison checks == and != in conditions.
func (w *wording) comparison(n ast.BinaryNode) {
	for _, side := range [][2]ast.IsNode{{n.Left, n.Right}, {n.Right, n.Left}} {
		w.relation(side[0], side[1], w.equals)
	}
}

// relation hands a variable and the entities that it is put in relation to on to check.
func (w *wording) relation(left, right ast.IsNode, check func(variable string, uids ...types.EntityUID)) {
	variable, ok := left.(ast.NodeTypeVariable)
	if !ok || variable.Name == "context" {
		return
	}
	elements := []ast.IsNode{right}
	if list, ok := right.(ast.NodeTypeSet); ok {
		elements = list.Elements
	}
	var uids []types.EntityUID
	for _, element := range elements {
		if value, ok := element.(ast.NodeValue); ok {
			if uid, ok := value.Value.(types.EntityUID); ok {
				uids = append(uids, uid)
			}
		}
	}
	if len(uids) > 0 {
		check(string(variable.Name), uids...)
	}
}

func (w *wording) is(n ast.NodeTypeIs) {
	if variable, ok := n.Left.(ast.NodeTypeVariable); ok {
		w.isOf(string(variable.Name), n.EntityType)
		return
	}
	w.entityType(n.EntityType)
}

// The types that a variable can be equal to, and those that it can be in.
var (
	typeOf     = map[string]types.EntityType{"principal": "Caller", "action": "Action", "resource": "VM"}
	typesAbove = map[string][]types.EntityType{
		"principal": {"Caller", "User", "Group", "Role"}, "action": {"Action"}, "resource": {"VM"},
	}
)

// isOf checks variable is TYPE.
func (w *wording) isOf(variable string, name types.EntityType) {
	if w.entityType(name) && typeOf[variable] != name {
		w.report(w.tokens.typePlaces(string(name)), "%s is never a %s: it is a %s", variable, name, typeOf[variable])
	}
}

// equals checks variable == uid.
func (w *wording) equals(variable string, uids ...types.EntityUID) {
	for _, uid := range uids {
		class := variable == "action" && IsClass(uid)
		if !w.entity(uid) || typeOf[variable] == uid.Type && !class {
			continue
		}
		if class || slices.Contains(typesAbove[variable], uid.Type) {
			w.report(w.tokens.entityPlaces(uid), "%s never equals %v, but can be in it: write %s in", variable, uid, variable)
			continue
		}
		w.report(w.tokens.entityPlaces(uid), "%s never equals a %s", variable, uid.Type)
	}
}

// isIn checks variable in uids.
func (w *wording) isIn(variable string, uids ...types.EntityUID) {
	if len(uids) == 0 {
		w.report(nil, "%s is in an empty list: that is never true", variable)
	}
	for _, uid := range uids {
		if w.entity(uid) && !slices.Contains(typesAbove[variable], uid.Type) {
			w.report(w.tokens.entityPlaces(uid), "%s is never in a %s", variable, uid.Type)
		}
	}
}

// entity checks a literal; what is no entity is none's business.
func (w *wording) entity(value types.Value) bool {
	uid, ok := value.(types.EntityUID)
	if !ok {
		return true
	}
	if problem := wrongEntity(uid); problem != "" {
		w.report(w.tokens.entityPlaces(uid), "%s", problem)
		return false
	}
	return true
}

func (w *wording) entityType(name types.EntityType) bool {
	if slices.Contains(entityTypes, string(name)) {
		return true
	}
	w.report(w.tokens.typePlaces(string(name)), "unknown entity type %s%s", name, suggest(string(name), entityTypes))
	return false
}

// attribute checks an access to a name of a node, or the question whether it has it.
func (w *wording) attribute(of ast.IsNode, name string) (deeper bool) {
	variable, names, ok := chain(of)
	if !ok {
		if value, isValue := of.(ast.NodeValue); isValue {
			uid, _ := value.Value.(types.EntityUID)
			w.report(w.tokens.entityPlaces(uid), "%v has no attribute %q", value.Value, name)
		}
		return true
	}
	parent, known := variables[variable].find(names)
	if !known || parent.open {
		return true // reported where it is, or free
	}
	if _, ok := parent.members[name]; !ok {
		w.report(w.tokens.attributePlaces(variable, append(names, name)), "%s has no attribute %q%s",
			parent, name, suggest(name, slices.Collect(maps.Keys(parent.members))))
	}
	return true
}

// chain takes variable.a.b apart.
func chain(n ast.IsNode) (variable string, names []string, ok bool) {
	switch n := n.(type) {
	case ast.NodeTypeVariable:
		return string(n.Name), nil, true
	case ast.NodeTypeAccess:
		variable, names, ok = chain(n.Arg)
		return variable, append(names, string(n.Value)), ok
	}
	return "", nil, false
}
