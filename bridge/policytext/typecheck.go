package policytext

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
)

// typechecker finds expressions whose values are of a kind that can't be evaluated where they stand, or that never
// equal what they are compared with. An error denies, so such a policy would deny every call that it is about.
//
// It walks through tree and text side by side: Cedar has made one of the other, so each node's tokens are the next ones
// but for brackets and commas. Cedar's own validator (cedar-go, x/exp/schema/validate) tells no places, and has to know all
// attributes of a record, which nobody knows of a command's arguments.
type typechecker struct {
	*wording
	cursor
}

// expression is what is known of one before it is evaluated.
type expression struct {
	kind    kind
	element kind // of each element, where kind is aSet
	begin   place
	place   place  // in messages: of attributes, the last one's
	name    string // there
	literal bool
}

// newExpression is one that begins at a place.
func newExpression(what kind, begin place) expression {
	return expression{kind: what, begin: begin, place: begin, name: "this"}
}

// typecheck checks the policy's conditions.
func (w *wording) typecheck() {
	c := &typechecker{w, cursor{text: w.tokens}}
	c.skipScope()
	for _, condition := range w.rule.Conditions {
		word := "when"
		if condition.Condition == ast.ConditionUnless {
			word = "unless"
		}
		c.expect(word)
		c.expect("{")
		c.want(c.check(condition.Body), word, booleans)
		c.expect("}")
	}
}

func (c *typechecker) tell(at place, format string, values ...any) {
	if c.lost {
		c.report(nil, format, values...)
		return
	}
	c.report([]place{at}, format, values...)
}

// want tells of an expression that is of none of these kinds.
func (c *typechecker) want(e expression, by string, kinds []kind) {
	if e.kind == "" || kinds == nil || slices.Contains(kinds, e.kind) {
		return
	}
	words := make([]string, len(kinds))
	for i, one := range kinds {
		words[i] = string(one)
	}
	c.tell(e.place, "%s is %s, but %s wants %s", e.name, e.kind, by, strings.Join(words, " or "))
}

// check walks through an expression.
func (c *typechecker) check(n ast.IsNode) expression {
	if sides, operator := binaryOf(n); operator != "" {
		return c.binary(operator, sides)
	}
	if name, arguments := callOf(n); name != "" {
		return c.call(name, arguments)
	}
	switch n := n.(type) {
	case ast.NodeTypeNot:
		return c.unary("!", booleans, n.Arg)
	case ast.NodeTypeNegate:
		return c.unary("-", numbers, n.Arg)
	case ast.NodeTypeIfThenElse:
		return c.choice(n)
	case ast.NodeTypeAccess:
		return c.access(n)
	case ast.NodeTypeHas:
		of := c.check(n.Arg)
		c.expect("has")
		c.word()
		c.haveAttributes(n.Arg, of)
		return newExpression(aBoolean, of.begin)
	case ast.NodeTypeLike:
		of := c.check(n.Arg)
		c.expect("like")
		c.word()
		c.want(of, "like", []kind{aString})
		return newExpression(aBoolean, of.begin)
	case ast.NodeTypeIs:
		return c.is(n)
	case ast.NodeTypeIsIn:
		of := c.is(n.NodeTypeIs)
		c.expect("in")
		c.want(c.right("in", n.Entity), "in", operators["in"].right)
		return of
	case ast.NodeTypeSet:
		return c.set(n, nil)
	case ast.NodeTypeRecord:
		at := c.expect("{")
		for _, element := range n.Elements {
			c.peek()
			c.word()
			c.expect(":")
			c.check(element.Value)
		}
		c.expect("}")
		return newExpression(aRecord, at)
	case ast.NodeTypeVariable:
		result := newExpression(variables[string(n.Name)].kind, c.expect(string(n.Name)))
		result.name = string(n.Name)
		return result
	case ast.NodeValue:
		return c.value(n.Value)
	}
	c.lost = true
	return expression{}
}

func (c *typechecker) unary(operator string, takes []kind, argument ast.IsNode) expression {
	at := c.expect(operator)
	c.want(c.check(argument), operator, takes)
	return newExpression(takes[0], at)
}

func (c *typechecker) binary(text string, sides ast.BinaryNode) expression {
	left := c.check(sides.Left)
	if text == "&&" && c.isAt(".") { // "has a.b" is "has a && .a has b": nothing new
		c.expect(".")
		c.word()
		return left
	}
	operator := operators[text]
	c.want(left, text, operator.left)
	c.expect(text)
	right := c.right(text, sides.Right)
	c.want(right, text, operator.right)
	switch text {
	case "==", "!=":
		c.compare(left, right)
	case "in":
		c.want(expression{kind: right.element, place: right.place, name: "an element of this"}, text, entities)
	case "<", "<=", ">", ">=":
		if slices.Contains(comparables, left.kind) && slices.Contains(comparables, right.kind) {
			c.want(right, fmt.Sprintf("%s with %s", text, left.kind), []kind{left.kind})
		}
	}
	return newExpression(operator.gives, left.begin)
}

// right walks through what is on the right of an operator. All that is in a list must be entities for "in".
func (c *typechecker) right(operator string, n ast.IsNode) expression {
	if list, ok := n.(ast.NodeTypeSet); ok && operator == "in" {
		return newExpression(aSet, c.set(list, entities).begin)
	}
	return c.check(n)
}

// compare tells of expressions that are never equal. The message is about the one that is no literal.
func (c *typechecker) compare(left, right expression) {
	if left.literal {
		left, right = right, left
	}
	if differ(left.kind, right.kind) {
		c.tell(left.place, "%s is %s and never equals %s", left.name, left.kind, right.kind)
	}
}

func differ(a, b kind) bool { return a != "" && b != "" && a != b }

func (c *typechecker) call(name string, arguments []ast.IsNode) expression {
	var given []expression
	var begin place
	called := calls[name]
	if called.method {
		given = append(given, c.check(arguments[0]))
		begin = given[0].begin
		c.expect(".")
		c.expect(name)
	} else {
		begin = c.expect(name)
	}
	for _, argument := range arguments[len(given):] {
		given = append(given, c.check(argument))
	}
	if len(given) != len(called.takes) {
		c.tell(begin, "%s takes %d arguments, not %d", name, len(called.takes), len(given))
		return newExpression(called.gives, begin)
	}
	for i, one := range given {
		c.want(one, name, called.takes[i])
	}
	switch {
	case name == "contains" && differ(given[0].element, given[1].kind):
		c.tell(given[1].place, "%s is %s and never in a set of which each is %s", given[1].name, given[1].kind, given[0].element)
	case called.parse != nil:
		c.parse(called, given[0], arguments[0])
	}
	return newExpression(called.gives, begin)
}

// parse tells of a literal that a function can't read.
func (c *typechecker) parse(called call, given expression, argument ast.IsNode) {
	literal, ok := argument.(ast.NodeValue)
	if !ok {
		return
	}
	if text, ok := literal.Value.(types.String); ok && called.parse(string(text)) != nil {
		c.tell(given.place, "%s is not %s", given.name, called.gives)
	}
}

func (c *typechecker) choice(n ast.NodeTypeIfThenElse) expression {
	at := c.expect("if")
	c.want(c.check(n.If), "if", booleans)
	c.expect("then")
	one := c.check(n.Then)
	c.expect("else")
	other := c.check(n.Else)
	if one.kind != other.kind {
		return newExpression("", at)
	}
	return newExpression(one.kind, at)
}

func (c *typechecker) access(n ast.NodeTypeAccess) expression {
	of := c.check(n.Arg)
	c.peek()
	c.word() // "." or "["
	result := expression{begin: of.begin, place: c.word(), name: string(n.Value)}
	if c.isAt("]") {
		c.word()
	}
	c.haveAttributes(n.Arg, of)
	if variable, names, ok := chain(n); ok {
		found, _ := variables[variable].find(names)
		result.kind, result.element = found.kind, found.element
	}
	return result
}

// haveAttributes tells of what is neither a record nor an entity. Words have been checked already.
func (c *typechecker) haveAttributes(n ast.IsNode, of expression) {
	_, literal := n.(ast.NodeValue)
	if _, _, ok := chain(n); !ok && !literal {
		c.want(of, "an attribute", []kind{aRecord, anEntity})
	}
}

func (c *typechecker) is(n ast.NodeTypeIs) expression {
	of := c.check(n.Left)
	c.expect("is")
	c.path()
	c.want(of, "is", entities)
	return newExpression(aBoolean, of.begin)
}

// set walks through a list of elements, each of which "in" may want to be of some kinds.
func (c *typechecker) set(n ast.NodeTypeSet, each []kind) expression {
	at := c.expect("[")
	result := newExpression(aSet, at)
	for i, element := range n.Elements {
		one := c.check(element)
		c.want(one, "in", each)
		if i == 0 {
			result.element = one.kind
		} else if one.kind != result.element {
			result.element = ""
		}
	}
	c.expect("]")
	return result
}

func (c *typechecker) value(value types.Value) expression {
	first := c.peek()
	switch {
	case kindOf(value) == anEntity:
		c.path()
		c.expect("::")
	case first.text == "-":
		c.word()
	}
	c.word()
	result := newExpression(kindOf(value), first.place)
	result.literal = true
	return result
}
