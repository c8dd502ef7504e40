package access

import (
	"github.com/cedar-policy/cedar-go/x/exp/eval"

	"qmp-dbus-bridge/bridge/action"
)

// ruling is what the policies say about one caller and one action. It never changes, and callers share those that
// are the same.
type ruling struct {
	fixed   Decision // by the policies that don't look at the arguments
	hearing *hearing // of those that do; nil if they can't change fixed
}

// actionNumbers numbers the actions of which rulings are kept: those in the tables. Others can be made up without end.
var actionNumbers = numberActions()

func numberActions() map[string]int {
	numbers := make(map[string]int)
	for i, one := range action.Listed() {
		numbers[one.String()] = i
	}
	return numbers
}

// ruling returns that on an action. Two goroutines may make it at the same time; both are right.
func (p *principal) ruling(action action.Action) *ruling {
	number, found := actionNumbers[action.String()]
	if !found {
		return p.newRuling(action)
	}
	if r := p.rulings[number].Load(); r != nil {
		return r
	}
	r := p.newRuling(action)
	p.rulings[number].Store(r)
	return r
}

func (p *principal) newRuling(action action.Action) *ruling {
	h := &hearing{action: action, principal: p, entities: p.entitiesWith(action)}
	var closed policies
	var blind *policy
	permitted := false // by what the arguments are, perhaps
	for _, one := range p.policies.within(eval.Env{
		Entities: h.entities, Action: h.entities.action.UID,
		Principal: eval.Variable("principal"), Resource: eval.Variable("resource"), Context: eval.Variable("context"),
	}) {
		switch {
		case one.reads.busNames && p.names == nil:
			if blind == nil {
				blind = one
			}
		case one.reads.ofCall():
			h.open = append(h.open, one)
			permitted = permitted || one.permits()
		default:
			closed = append(closed, one)
		}
	}
	fixed := h.weigh(closed, new(arguments))
	if blind != nil && !fixed.forbidden {
		fixed = failed(action, errorPrefix+blind.id, errNamesUnknown)
	}
	if len(h.open) > 0 && (fixed.allowed || permitted && fixed.policy == defaultDeny) {
		h.prepare()
		return &ruling{fixed, h}
	}
	return p.owner.shared(&ruling{fixed: fixed})
}

// shared returns r, or one that says the same. There are no more of them than actions in the tables times policies.
func (a *Authorizer) shared(r *ruling) *ruling {
	if _, known := actionNumbers[r.fixed.action]; !known || r.fixed.err != nil {
		return r
	}
	same, _ := a.rulings.LoadOrStore(r.fixed, r)
	return same.(*ruling)
}

// decide is the decision on a call with these arguments.
func (r *ruling) decide(text []byte) Decision {
	if r.hearing == nil {
		return r.fixed
	}
	if decision := r.hearing.decide(text); decision.policy != defaultDeny {
		return decision
	}
	return r.fixed
}
