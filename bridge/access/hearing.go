package access

import (
	"fmt"
	"strings"

	"github.com/cedar-policy/cedar-go"

	"qmp-dbus-bridge/bridge/action"
)

// hearing is what the policies that look at the arguments say about one caller and one action: one for each call.
type hearing struct {
	action    action.Action
	principal *principal
	entities  *entities // of requests for the action
	open      policies
	sieve     sieve     // of open
	wanted    wanted    // of the arguments
	qom       qomMember // among them, if any
}

// prepare makes what every call needs.
func (h *hearing) prepare() {
	h.sieve, h.wanted, h.qom = newSieve(h.open), wantedBy(h.open), qomMembers[h.action.String()]
	if h.qom.name != "" {
		h.wanted.add(h.qom.name)
	}
}

// decide is the decision on a call with these arguments, as far as the open policies have a say.
func (h *hearing) decide(text []byte) Decision {
	given, err := readArguments(text, &h.wanted)
	if err != nil {
		return failed(h.action, badArguments, err)
	}
	if !h.qom.named(given) {
		return deny(h.action, oddQOMPath)
	}
	able, blind := h.able(given)
	decision := h.weigh(able, given)
	if blind == nil || decision.forbidden {
		return decision
	}
	missed, _ := blind.reads.missed(given.lost)
	return failed(h.action, errorPrefix+blind.id, fmt.Errorf(
		"the argument %q has a value that policies can't have: null, a fraction or an integer beyond 64 bits with a sign",
		strings.Join(missed, ".")))
}

// able are the open policies that may be satisfied by these arguments, and blind is the first that can't be evaluated
// with them.
func (h *hearing) able(given *arguments) (able policies, blind *policy) {
	if len(given.lost) == 0 {
		return h.sieve.sift(h.open, given), nil
	}
	for _, one := range h.open {
		if _, missed := one.reads.missed(given.lost); !missed {
			able = append(able, one)
		} else if blind == nil {
			blind = one
		}
	}
	return able, blind
}

// weigh has Cedar evaluate policies whose scope is known to hold.
func (h *hearing) weigh(on policies, given *arguments) Decision {
	if len(on) == 0 {
		return deny(h.action, defaultDeny)
	}
	verdict, why := cedar.Authorize(on, h.entities, cedar.Request{
		Principal: h.entities.principal.UID,
		Action:    h.entities.action.UID,
		Resource:  h.principal.owner.resource,
		Context:   h.principal.context(given, on.readNames()),
	})
	return newDecision(h.action, on, verdict, why)
}
