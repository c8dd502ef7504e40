package policytext

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go/x/exp/ast"

	"qmp-dbus-bridge/bridge/action"
)

// argumentsTSV says of commands which arguments a call has to have, and whether there are others: columns of
// schema/frozen.tsv, which this package may not import.
//
//go:generate sh -c "cut -f 1-3 ../../schema/frozen.tsv > arguments.tsv"
//go:embed arguments.tsv
var argumentsTSV string

// commandArguments are those of one command.
type commandArguments struct {
	mandatory []string
	optional  bool // it has optional ones
}

var argumentsOf = parseArguments(argumentsTSV)

func parseArguments(text string) map[string]commandArguments {
	commands := make(map[string]commandArguments)
	for line := range strings.Lines(text) {
		columns := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if strings.HasPrefix(line, "#") || len(columns) != 3 {
			continue // a test compares all
		}
		one := commandArguments{optional: columns[2] != "-"}
		for argument := range strings.FieldsSeq(columns[1]) {
			if name, _, ok := strings.Cut(argument, ":"); ok {
				one.mandatory = append(one.mandatory, name)
			}
		}
		commands[columns[0]] = one
	}
	return commands
}

// scopeOfArguments is what a policy's scope says about the arguments of its calls.
type scopeOfArguments struct {
	other     string   // an action without any arguments that is in it, or what stands for such; empty if there is none
	everybody bool     // it is about all callers
	commands  []string // where there is no other, all that it is about
}

func scopeOfArgumentsIn(rule *ast.Policy) (s scopeOfArguments) {
	_, about := Named(rule.Principal)
	s.everybody = !about
	actions := Actions(rule)
	if actions == nil {
		s.other = "calls of stop, query-status and others"
	}
	for _, uid := range actions {
		id := string(uid.ID)
		takes, listed := argumentsOf[id]
		switch {
		case IsClass(uid):
			s.other = "some of " + id
		case !action.IsListed(id), listed && len(takes.mandatory) == 0 && !takes.optional:
			s.other = "calls of " + id
		default:
			s.commands = append(s.commands, id)
		}
	}
	return s
}

// without says which calls lack an argument that are not left to the policy's author: those of commands that have no arguments,
// and, where a policy is about everybody, those that QEMU takes without this one.
func (s scopeOfArguments) without(name string) string {
	if s.other != "" {
		return s.other + " don't have, and they would all be denied: name only commands that have it, or"
	}
	for _, command := range s.commands {
		if s.everybody && !slices.Contains(argumentsOf[command].mandatory, name) {
			return fmt.Sprintf("calls of %s may leave out, and they would be denied to everybody: name the callers, or", command)
		}
	}
	return ""
}
