package policytext

import (
	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
)

// kind is what sort of value an expression has, in words. It is empty where only a call can tell: of an argument, and
// of what is made of one.
type kind string

const (
	aBoolean  kind = "a boolean"
	aNumber   kind = "a number"
	aString   kind = "a string"
	aSet      kind = "a set"
	aRecord   kind = "a record"
	anEntity  kind = "an entity"
	anAddress kind = "an IP address"
	aDecimal  kind = "a decimal"
	aDatetime kind = "a datetime"
	aDuration kind = "a duration"
)

// kindOf is that of a literal.
func kindOf(value types.Value) kind {
	switch value.(type) {
	case types.Boolean:
		return aBoolean
	case types.Long:
		return aNumber
	case types.String:
		return aString
	}
	return anEntity
}

// operator is what stands between two expressions: which kinds it takes, and which it gives. A nil list takes all.
type operator struct {
	left, right []kind
	gives       kind
}

var (
	booleans    = []kind{aBoolean}
	numbers     = []kind{aNumber}
	comparables = []kind{aNumber, aDatetime, aDuration} // with their own kind
	sets        = []kind{aSet}
	entities    = []kind{anEntity}

	operators = map[string]operator{
		"&&": {booleans, booleans, aBoolean},
		"||": {booleans, booleans, aBoolean},
		"==": {nil, nil, aBoolean},
		"!=": {nil, nil, aBoolean},
		"<":  {comparables, comparables, aBoolean},
		"<=": {comparables, comparables, aBoolean},
		">":  {comparables, comparables, aBoolean},
		">=": {comparables, comparables, aBoolean},
		"+":  {numbers, numbers, aNumber},
		"-":  {numbers, numbers, aNumber},
		"*":  {numbers, numbers, aNumber},
		"in": {entities, []kind{anEntity, aSet}, aBoolean},
	}
)

// binaryOf is the two sides of an operator's node, and the operator; none for other nodes.
func binaryOf(n ast.IsNode) (sides ast.BinaryNode, operator string) {
	switch n := n.(type) {
	case ast.NodeTypeAnd:
		return n.BinaryNode, "&&"
	case ast.NodeTypeOr:
		return n.BinaryNode, "||"
	case ast.NodeTypeEquals:
		return n.BinaryNode, "=="
	case ast.NodeTypeNotEquals:
		return n.BinaryNode, "!="
	case ast.NodeTypeLessThan:
		return n.BinaryNode, "<"
	case ast.NodeTypeLessThanOrEqual:
		return n.BinaryNode, "<="
	case ast.NodeTypeGreaterThan:
		return n.BinaryNode, ">"
	case ast.NodeTypeGreaterThanOrEqual:
		return n.BinaryNode, ">="
	case ast.NodeTypeAdd:
		return n.BinaryNode, "+"
	case ast.NodeTypeSub:
		return n.BinaryNode, "-"
	case ast.NodeTypeMult:
		return n.BinaryNode, "*"
	case ast.NodeTypeIn:
		return n.BinaryNode, "in"
	}
	return sides, ""
}

// call is a method, with what it is called on as its first argument, or a function.
type call struct {
	method bool
	takes  [][]kind
	gives  kind
	parse  func(string) error // of a function: what it makes of a literal
}

// callOf is the call of a node, and its arguments; none for other nodes.
func callOf(n ast.IsNode) (name string, arguments []ast.IsNode) {
	switch n := n.(type) {
	case ast.NodeTypeContains:
		return "contains", []ast.IsNode{n.Left, n.Right}
	case ast.NodeTypeContainsAll:
		return "containsAll", []ast.IsNode{n.Left, n.Right}
	case ast.NodeTypeContainsAny:
		return "containsAny", []ast.IsNode{n.Left, n.Right}
	case ast.NodeTypeIsEmpty:
		return "isEmpty", []ast.IsNode{n.Arg}
	case ast.NodeTypeHasTag:
		return "hasTag", []ast.IsNode{n.Left, n.Right}
	case ast.NodeTypeGetTag:
		return "getTag", []ast.IsNode{n.Left, n.Right}
	case ast.NodeTypeExtensionCall:
		return string(n.Name), n.Args
	}
	return "", nil
}

// calls are all that Cedar has: https://docs.cedarpolicy.com/policies/syntax-operators.html.
var calls = map[string]call{
	"contains":    {method: true, takes: [][]kind{sets, nil}, gives: aBoolean},
	"containsAll": methodOf(aBoolean, aSet, aSet),
	"containsAny": methodOf(aBoolean, aSet, aSet),
	"isEmpty":     methodOf(aBoolean, aSet),
	"hasTag":      methodOf(aBoolean, anEntity, aString),
	"getTag":      methodOf("", anEntity, aString),

	"ip":       constructor(anAddress, types.ParseIPAddr),
	"decimal":  constructor(aDecimal, types.ParseDecimal),
	"datetime": constructor(aDatetime, types.ParseDatetime),
	"duration": constructor(aDuration, types.ParseDuration),

	"lessThan":           methodOf(aBoolean, aDecimal, aDecimal),
	"lessThanOrEqual":    methodOf(aBoolean, aDecimal, aDecimal),
	"greaterThan":        methodOf(aBoolean, aDecimal, aDecimal),
	"greaterThanOrEqual": methodOf(aBoolean, aDecimal, aDecimal),

	"isIpv4":      methodOf(aBoolean, anAddress),
	"isIpv6":      methodOf(aBoolean, anAddress),
	"isLoopback":  methodOf(aBoolean, anAddress),
	"isMulticast": methodOf(aBoolean, anAddress),
	"isInRange":   methodOf(aBoolean, anAddress, anAddress),

	"toDate":        methodOf(aDatetime, aDatetime),
	"toTime":        methodOf(aDuration, aDatetime),
	"offset":        methodOf(aDatetime, aDatetime, aDuration),
	"durationSince": methodOf(aDuration, aDatetime, aDatetime),

	"toDays":         methodOf(aNumber, aDuration),
	"toHours":        methodOf(aNumber, aDuration),
	"toMinutes":      methodOf(aNumber, aDuration),
	"toSeconds":      methodOf(aNumber, aDuration),
	"toMilliseconds": methodOf(aNumber, aDuration),
}

func constructor[V types.Value](gives kind, parse func(string) (V, error)) call {
	return call{takes: [][]kind{{aString}}, gives: gives, parse: func(text string) error {
		_, err := parse(text)
		return err
	}}
}

func methodOf(gives kind, takes ...kind) call {
	c := call{method: true, gives: gives}
	for _, one := range takes {
		c.takes = append(c.takes, []kind{one})
	}
	return c
}
