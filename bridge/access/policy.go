package access

import (
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"regexp"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go"
	cedarast "github.com/cedar-policy/cedar-go/ast"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
	"github.com/cedar-policy/cedar-go/x/exp/eval"

	"qmp-dbus-bridge/bridge/trusted"
)

// builtinName stands for the built-in policy's file.
const builtinName = "builtin.cedar"

const maxPolicyFile = 1 << 20 // bytes; 100 policies are some 20 KiB

//go:embed builtin.cedar
var builtinCedar string

// policyID is what @id("...") may say: nothing that reads like the ids of decisions without a policy.
var policyID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$`)

// BuiltinPolicy is the text of the policy that is always in force.
func BuiltinPolicy() string { return builtinCedar }

// policy is one policy with the id that decisions and the audit name.
type policy struct {
	statement
	id         string
	conditions *cedar.Policy // the rule for everyone and everything: to evaluate where its scope is known to hold
	reads      reads
}

func newPolicy(id string, s statement) *policy {
	anywhere := *s.tree()
	anywhere.Principal, anywhere.Action, anywhere.Resource = ast.ScopeTypeAll{}, ast.ScopeTypeAll{}, ast.ScopeTypeAll{}
	return &policy{
		id: id, statement: s,
		conditions: cedar.NewPolicyFromAST((*cedarast.Policy)(&anywhere)),
		reads:      readsOf(&anywhere),
	}
}

func (p *policy) permits() bool { return p.rule.Effect() == cedar.Permit }

// policies are evaluated in the order in which they were read, so that of several deciding ones always the
// same is named.
type policies []*policy

// loadPolicies reads the built-in policy and the files, and adds what they say to digest. All are good or there is an
// error, Problems with all that is wrong.
func loadPolicies(files []string, owner uint32, digest *digest) (policies, error) {
	all, problems := policies(nil).add(builtinName, builtinCedar)
	digest.file(builtinCedar)
	for _, file := range files {
		text, err := readPolicy(file, owner)
		if err != nil {
			problems = append(problems, fileProblem(file, err))
			continue
		}
		digest.file(text)
		var faults Problems
		all, faults = all.add(file, text)
		problems = append(problems, faults...)
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return all, nil
}

func readPolicy(path string, owner uint32) (string, error) {
	file, err := trusted.OpenFile(path, 0, owner, trusted.NoGroup)
	if err != nil {
		return "", err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxPolicyFile+1))
	if err == nil && len(text) > maxPolicyFile {
		err = fmt.Errorf("larger than %d bytes", maxPolicyFile)
	}
	return string(text), err
}

// fileProblem is about a file that can't be read.
func fileProblem(file string, err error) Problem {
	if at, ok := errors.AsType[*fs.PathError](err); ok {
		err = at.Err
	}
	return Problem{File: file, Text: strings.TrimPrefix(err.Error(), file+": ")}
}

// add returns p and the policies of one more file.
func (p policies) add(file, text string) (policies, Problems) {
	statements, problems := parse(file, text)
	for _, s := range statements {
		if len(p) == maxPolicies {
			return p, append(problems, s.problem(file, "more than %d policies", maxPolicies))
		}
		id, wrong := s.ownID()
		if other, taken := p.find(id); wrong == "" && taken {
			wrong = fmt.Sprintf("a policy with the id %q exists already: %s", id, other.where())
		}
		if wrong != "" {
			problems = append(problems, s.problem(file, "%s", wrong))
		}
		problems = append(problems, checkWording(s)...)
		p = append(p, newPolicy(id, s))
	}
	return p, problems.inOrder()
}

// find is the policy with that id.
func (p policies) find(id string) (*policy, bool) {
	i := slices.IndexFunc(p, func(one *policy) bool { return one.id == id })
	if i < 0 {
		return nil, false
	}
	return p[i], true
}

// ownID is the policy's @id, or else its place.
func (s statement) ownID() (id, wrong string) {
	for name := range s.rule.Annotations() {
		if name != "id" && strings.EqualFold(string(name), "id") {
			return "", fmt.Sprintf("@%s means nothing: write @id", name)
		}
	}
	named, ok := s.rule.Annotations()["id"]
	if !ok {
		return s.where(), ""
	}
	if !policyID.MatchString(string(named)) || reserved(string(named)) {
		return "", fmt.Sprintf("%q cannot be an id: want up to 64 of A-Z a-z 0-9 . _ -", string(named))
	}
	return string(named), ""
}

func reserved(id string) bool { return slices.Contains(reservedIDs, id) }

// tree is the policy's syntax tree.
func (s statement) tree() *ast.Policy { return (*ast.Policy)(s.rule.AST()) }

// within are the policies whose scope takes what env has; a variable there takes all. The others are neither
// satisfied nor in error, so leaving them out changes no decision.
func (p policies) within(env eval.Env) policies {
	var chosen policies
	for i := range p {
		scope := *p[i].tree()
		scope.Conditions = nil // they may be in error, which has to be seen
		if _, keep := eval.PartialPolicy(env, &scope); keep {
			chosen = append(chosen, p[i])
		}
	}
	return chosen
}

// All makes policies, whose scope is known to hold, what cedar.Authorize wants.
func (p policies) All() iter.Seq2[cedar.PolicyID, *cedar.Policy] {
	return func(yield func(cedar.PolicyID, *cedar.Policy) bool) {
		for i := range p {
			if !yield(cedar.PolicyID(p[i].id), p[i].conditions) {
				return
			}
		}
	}
}
