package access

import (
	"fmt"
	"strings"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/x/exp/eval"
)

// ruling is what the policies say about one caller and one action.
type ruling struct {
	action Action
	fixed  Decision // whatever the arguments are, as far as open leaves it at that
	open   policies // those that look at the arguments; none if they can't change fixed
}

// actionNumbers numbers the actions of which rulings are kept: those in the tables. Others can be made up without end.
var actionNumbers = numberActions()

func numberActions() map[string]int {
	numbers := make(map[string]int)
	add := func(action Action) { numbers[action.name] = len(numbers) }
	for name := range commandClasses {
		add(Command(name))
	}
	for name := range eventClasses {
		add(Event(name))
	}
	add(ReadProperties())
	add(Introspect())
	add(Subscribe())
	return numbers
}

// ruling returns that on an action. Two goroutines may make it at the same time; both are right.
func (p *principal) ruling(action Action) *ruling {
	number, found := actionNumbers[action.name]
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

func (p *principal) newRuling(action Action) *ruling {
	entities := p.entitiesWith(action)
	var fixed, open policies
	permitted := false // by a policy in open, perhaps
	for _, one := range p.policies.within(eval.Env{
		Entities: entities, Action: entities.action.UID,
		Principal: eval.Variable("principal"), Resource: eval.Variable("resource"), Context: eval.Variable("context"),
	}) {
		if one.reads.ofCall() {
			open = append(open, one)
			permitted = permitted || one.permits()
		} else {
			fixed = append(fixed, one)
		}
	}
	r := &ruling{action: action, fixed: p.weigh(action, fixed, new(arguments))}
	if r.fixed.allowed || permitted && r.fixed.policy == defaultDeny {
		r.open = open
	}
	return r
}

// decide is the decision on a call with these arguments.
func (r *ruling) decide(p *principal, text []byte) Decision {
	if len(r.open) == 0 {
		return r.fixed
	}
	given, err := readArguments(text)
	if err != nil {
		return failed(r.action, badArguments, err)
	}
	able, blind := r.open.able(given)
	decision := p.weigh(r.action, able, given)
	switch {
	case decision.forbidden:
		return decision
	case blind != nil:
		missed, _ := blind.reads.missed(given.lost)
		return failed(r.action, errorPrefix+blind.id, fmt.Errorf(
			"the argument %q has a value that policies can't have: null, a fraction or an integer beyond 64 bits with a sign",
			strings.Join(missed, ".")))
	case decision.policy == defaultDeny:
		return r.fixed
	}
	return decision
}

// able are the policies that can be evaluated with these arguments, and blind is the first that can't.
func (p policies) able(given *arguments) (able policies, blind *policy) {
	if len(given.lost) == 0 {
		return p, nil
	}
	for _, one := range p {
		if _, missed := one.reads.missed(given.lost); !missed {
			able = append(able, one)
		} else if blind == nil {
			blind = one
		}
	}
	return able, blind
}

// weigh has Cedar evaluate policies whose scope is known to hold.
func (p *principal) weigh(action Action, on policies, given *arguments) Decision {
	entities := p.entitiesWith(action)
	verdict, why := cedar.Authorize(on, entities, cedar.Request{
		Principal: entities.principal.UID,
		Action:    entities.action.UID,
		Resource:  p.owner.resource,
		Context:   p.context(given),
	})
	return newDecision(action, verdict, why)
}

// context is what policies see as that.
func (p *principal) context(given *arguments) cedar.Record {
	context := cedar.RecordMap{
		"arguments":     given.record,
		"argumentNames": cedar.NewSet(given.names...),
	}
	if p.label != "" {
		context["label"] = cedar.String(p.label)
	}
	return cedar.NewRecord(context)
}
