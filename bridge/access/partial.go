package access

import (
	"github.com/cedar-policy/cedar-go/x/exp/eval"

	"qmp-dbus-bridge/bridge/action"
)

// partial is what the policies say about one caller and one action, as far as that can be told before there is a call. It
// never changes, and callers share those that are the same.
type partial struct {
	fixed    Decision  // by the policies that don't look at the arguments
	residual *residual // of those that do; nil if they can't change fixed
}

// actionNumbers numbers the actions of which partials are kept: those in the tables. Others can be made up without end.
var actionNumbers = numberActions()

func numberActions() map[string]int {
	numbers := make(map[string]int)
	for i, one := range action.Listed() {
		numbers[one.String()] = i
	}
	return numbers
}

// partial returns that on an action. Two goroutines may make it at the same time; both are right.
func (p *principal) partial(action action.Action) *partial {
	number, found := actionNumbers[action.String()]
	if !found {
		return p.newPartial(action)
	}
	if r := p.partials[number].Load(); r != nil {
		return r
	}
	r := p.newPartial(action)
	p.partials[number].Store(r)
	return r
}

func (p *principal) newPartial(action action.Action) *partial {
	rest := &residual{action: action, principal: p, entities: p.entitiesWith(action)}
	var closed policies
	var blind *policy
	permitted := false // by what the arguments are, perhaps
	for _, one := range p.policies.applicable(eval.Env{
		Entities: rest.entities, Action: rest.entities.action.UID,
		Principal: eval.Variable("principal"), Resource: eval.Variable("resource"), Context: eval.Variable("context"),
	}) {
		switch {
		case one.reads.busNames && p.names == nil:
			if blind == nil {
				blind = one
			}
		case one.reads.ofCall():
			rest.open = append(rest.open, one)
			permitted = permitted || one.permits()
		default:
			closed = append(closed, one)
		}
	}
	fixed := rest.weigh(closed, new(arguments))
	if blind != nil && !fixed.forbidden {
		fixed = failed(action, errorPrefix+blind.id, errNamesUnknown)
	}
	if len(rest.open) > 0 && (fixed.allowed || permitted && fixed.policy == defaultDeny) {
		rest.prepare()
		return &partial{fixed, rest}
	}
	return p.owner.shared(&partial{fixed: fixed})
}

// shared returns r, or one that says the same. There are no more of them than actions in the tables times policies.
func (a *Authorizer) shared(r *partial) *partial {
	if _, known := actionNumbers[r.fixed.action]; !known || r.fixed.err != nil {
		return r
	}
	same, _ := a.partials.LoadOrStore(r.fixed, r)
	return same.(*partial)
}

// decide is the decision on a call with these arguments.
func (r *partial) decide(text []byte) Decision {
	if r.residual == nil {
		return r.fixed
	}
	if decision := r.residual.decide(text); decision.policy != defaultDeny {
		return decision
	}
	return r.fixed
}
