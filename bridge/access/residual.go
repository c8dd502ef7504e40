package access

import (
	"fmt"
	"strings"

	"github.com/cedar-policy/cedar-go"

	"qmp-dbus-bridge/bridge/action"
)

// residual is what is left to decide with each call of one action by one caller: the policies that look at its arguments.
type residual struct {
	action    action.Action
	principal *principal
	entities  *entities // of requests for the action
	open      policies
	sieve     sieve     // of open
	wanted    wanted    // of the arguments
	qom       qomMember // among them, if any
}

// prepare makes what every call needs.
func (r *residual) prepare() {
	r.sieve, r.wanted, r.qom = newSieve(r.open), wantedBy(r.open), qomMembers[r.action.String()]
	if r.qom.name != "" {
		r.wanted.add(r.qom.name)
	}
}

// decide is the decision on a call with these arguments, as far as the open policies have a say.
func (r *residual) decide(text []byte) Decision {
	given, err := readArguments(text, &r.wanted)
	if err != nil {
		return failed(r.action, badArguments, err)
	}
	if !r.qom.named(given) {
		return deny(r.action, oddQOMPath)
	}
	able, blind := r.able(given)
	decision := r.weigh(able, given)
	if blind == nil || decision.forbidden {
		return decision
	}
	missed, _ := blind.reads.missed(given.lost)
	return failed(r.action, errorPrefix+blind.id, fmt.Errorf(
		"the argument %q has a value that policies can't have: null, a fraction or an integer beyond 64 bits with a sign",
		strings.Join(missed, ".")))
}

// able are the open policies that may be satisfied by these arguments, and blind is the first that can't be evaluated
// with them.
func (r *residual) able(given *arguments) (able policies, blind *policy) {
	if len(given.lost) == 0 {
		return r.sieve.sift(r.open, given), nil
	}
	for _, one := range r.open {
		if _, missed := one.reads.missed(given.lost); !missed {
			able = append(able, one)
		} else if blind == nil {
			blind = one
		}
	}
	return able, blind
}

// weigh has Cedar evaluate policies whose scope is known to hold.
func (r *residual) weigh(on policies, given *arguments) Decision {
	if len(on) == 0 {
		return deny(r.action, defaultDeny)
	}
	verdict, why := cedar.Authorize(on, r.entities, cedar.Request{
		Principal: r.entities.principal.UID,
		Action:    r.entities.action.UID,
		Resource:  r.principal.owner.resource,
		Context:   r.principal.context(given, on.readNames()),
	})
	return newDecision(r.action, on, verdict, why)
}
