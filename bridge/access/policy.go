package access

import (
	_ "embed"
	"fmt"
	"io"
	"iter"
	"regexp"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go"
	cedarast "github.com/cedar-policy/cedar-go/ast"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
	"github.com/cedar-policy/cedar-go/x/exp/eval"
)

const maxPolicyFile = 1 << 20 // bytes; 100 policies are some 20 KiB

//go:embed builtin.cedar
var builtinCedar string

// policyID is what @id("...") may say: nothing that reads like the ids of decisions without a policy.
var policyID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$`)

// BuiltinPolicy is the text of the policy that is always in force.
func BuiltinPolicy() string { return builtinCedar }

// policy is one policy with the id that decisions and the audit name.
type policy struct {
	id         string
	rule       *cedar.Policy
	conditions *cedar.Policy // the rule for everyone and everything: to evaluate where its scope is known to hold
	reads      reads
}

func newPolicy(id string, rule *cedar.Policy) *policy {
	anywhere := *(*ast.Policy)(rule.AST())
	anywhere.Principal, anywhere.Action, anywhere.Resource = ast.ScopeTypeAll{}, ast.ScopeTypeAll{}, ast.ScopeTypeAll{}
	return &policy{
		id: id, rule: rule,
		conditions: cedar.NewPolicyFromAST((*cedarast.Policy)(&anywhere)),
		reads:      readsOf(&anywhere),
	}
}

func (p *policy) permits() bool { return p.rule.Effect() == cedar.Permit }

// policies are evaluated in the order in which they were read, so that of several deciding ones always the
// same is named.
type policies []*policy

// loadPolicies reads the built-in policy and the files. All are good or there is an error.
func loadPolicies(files []string, owner uint32) (policies, error) {
	all, err := policies(nil).parse("builtin.cedar", builtinCedar)
	for _, file := range files {
		if err != nil {
			break
		}
		var text string
		if text, err = readPolicy(file, owner); err == nil {
			all, err = all.parse(file, text)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("policy: %v", err)
	}
	return all, nil
}

func readPolicy(path string, owner uint32) (string, error) {
	file, err := openTrusted(path, 0, owner)
	if err != nil {
		return "", err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxPolicyFile+1))
	if err == nil && len(text) > maxPolicyFile {
		err = fmt.Errorf("%s: larger than %d bytes", path, maxPolicyFile)
	}
	return string(text), err
}

// parse returns p and the policies of one more file.
func (p policies) parse(file, text string) (policies, error) {
	list, err := cedar.NewPolicyListFromBytes(file, []byte(text))
	if err != nil {
		return nil, fmt.Errorf("%s", strings.Replace(err.Error(), "<input>", file, 1))
	}
	for _, rule := range list {
		id, err := ruleID(rule)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(p, func(other *policy) bool { return other.id == id }) {
			return nil, fmt.Errorf("%s: a policy with the id %q exists already", place(rule), id)
		}
		p = append(p, newPolicy(id, rule))
	}
	return p, nil
}

// ruleID is the policy's @id, or else its file and line.
func ruleID(rule *cedar.Policy) (string, error) {
	id, ok := rule.Annotations()["id"]
	if !ok {
		return place(rule), nil
	}
	if !policyID.MatchString(string(id)) || reserved(string(id)) {
		return "", fmt.Errorf("%s: %q cannot be an id: want up to 64 of A-Z a-z 0-9 . _ -", place(rule), string(id))
	}
	return string(id), nil
}

func reserved(id string) bool { return slices.Contains(reservedIDs, id) }

func place(rule *cedar.Policy) string {
	at := rule.Position()
	return fmt.Sprintf("%s:%d:%d", at.Filename, at.Line, at.Column)
}

// within are the policies whose scope takes what env has; a variable there takes all. The others are neither
// satisfied nor in error, so leaving them out changes no decision.
func (p policies) within(env eval.Env) policies {
	var chosen policies
	for i := range p {
		scope := *(*ast.Policy)(p[i].rule.AST())
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
