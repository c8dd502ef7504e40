package access

import (
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

	"qmp-dbus-bridge/bridge/policytext"
	"qmp-dbus-bridge/bridge/trusted"
)

// builtinName stands for the built-in policy's file.
const builtinName = "builtin.cedar"

const (
	maxPolicyFile = 1 << 20 // bytes; 100 policies are some 20 KiB
	maxPolicies   = 4096    // of all files together; a decision may have to look at each
)

// policyID is what @id("...") may say: nothing that reads like the ids of decisions without a policy.
var policyID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$`)

// policy is one policy with the id that decisions and the audit name.
type policy struct {
	policytext.Statement
	id         string
	conditions *cedar.Policy // the rule for everyone and everything: to evaluate where its scope is known to hold
	reads      reads
}

func newPolicy(id string, s policytext.Statement) *policy {
	anywhere := *s.Tree()
	anywhere.Principal, anywhere.Action, anywhere.Resource = ast.ScopeTypeAll{}, ast.ScopeTypeAll{}, ast.ScopeTypeAll{}
	return &policy{
		id: id, Statement: s,
		conditions: cedar.NewPolicyFromAST((*cedarast.Policy)(&anywhere)),
		reads:      readsOf(&anywhere),
	}
}

func (p *policy) permits() bool { return p.Rule.Effect() == cedar.Permit }

// policies are evaluated in the order in which they were read, so that of several deciding ones always the
// same is named.
type policies []*policy

// loadPolicies reads the built-in policy and the files, and adds what they say to digest. All are good or there is an
// error, policytext.Problems with all that is wrong.
func loadPolicies(files []string, owner uint32, digest *digest) (policies, error) {
	all, problems := policies(nil).add(builtinName, policytext.Builtin())
	digest.file(policytext.Builtin())
	for _, file := range files {
		text, err := readPolicy(file, owner)
		if err != nil {
			problems = append(problems, fileProblem(file, err))
			continue
		}
		digest.file(text)
		var faults policytext.Problems
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
func fileProblem(file string, err error) policytext.Problem {
	if at, ok := errors.AsType[*fs.PathError](err); ok {
		err = at.Err
	}
	return policytext.Problem{File: file, Text: strings.TrimPrefix(err.Error(), file+": ")}
}

// add returns p and the policies of one more file.
func (p policies) add(file, text string) (policies, policytext.Problems) {
	statements, problems := policytext.Parse(file, text)
	for _, s := range statements {
		if len(p) == maxPolicies {
			return p, append(problems, s.Problem("more than %d policies", maxPolicies))
		}
		id, wrong := idOf(s)
		if other, taken := p.find(id); wrong == "" && taken {
			wrong = fmt.Sprintf("a policy with the id %q exists already: %s", id, other.Where())
		}
		if wrong != "" {
			problems = append(problems, s.Problem("%s", wrong))
		}
		problems = append(problems, s.Check()...)
		p = append(p, newPolicy(id, s))
	}
	return p, problems.InOrder()
}

// find is the policy with that id.
func (p policies) find(id string) (*policy, bool) {
	i := slices.IndexFunc(p, func(one *policy) bool { return one.id == id })
	if i < 0 {
		return nil, false
	}
	return p[i], true
}

// idOf is a policy's @id, or else its place.
func idOf(s policytext.Statement) (id, wrong string) {
	named, ok := s.Rule.Annotations()["id"]
	if !ok {
		return s.Where(), ""
	}
	if !policyID.MatchString(string(named)) || reserved(string(named)) {
		return "", fmt.Sprintf("%q cannot be an id: want up to 64 of A-Z a-z 0-9 . _ -", string(named))
	}
	return string(named), ""
}

func reserved(id string) bool { return slices.Contains(reservedIDs, id) }

// applicable are the policies whose scope takes what env has; a variable there takes all. The others are neither
// satisfied nor in error, so leaving them out changes no decision.
func (p policies) applicable(env eval.Env) policies {
	var chosen policies
	for i := range p {
		scope := *p[i].Tree()
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
