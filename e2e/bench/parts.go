package main

import (
	"fmt"
	"slices"
	"strings"

	"qmp-dbus-bridge/e2e/bench/figure"
)

// part is a group of rows that are measured together.
type part interface {
	rows() []*figure.Row
	round(number int) error
}

// partNames are what -parts chooses from, in the order in which they are measured and printed.
var partNames = []string{"calls", "pinned", "large", "inflight", "events", "objects", "descriptors", "flood", "startup"}

// checkParts tells whether a comma-separated list names parts only.
func checkParts(list string) error {
	for name := range strings.SplitSeq(list, ",") {
		if !slices.Contains(partNames, name) {
			return fmt.Errorf("-parts: no part %q; there are %s", name, strings.Join(partNames, ", "))
		}
	}
	return nil
}

// newParts connects all that is measured in rounds.
func newParts(s *stage) (chosen []part, err error) {
	c, err := newClients(s)
	if err != nil {
		return nil, err
	}
	if err := verify(c.bus); err != nil {
		return nil, fmt.Errorf("the bridge answers wrongly, so its times mean nothing: %w", err)
	}
	calls, base := newCalls(s, c)
	makers := map[string]func() (part, error){
		"calls":       func() (part, error) { return calls, nil },
		"pinned":      func() (part, error) { return newPinned(s, c), nil },
		"large":       func() (part, error) { return newLarge(s, c) },
		"inflight":    func() (part, error) { return newInFlight(s, c, base) },
		"events":      func() (part, error) { return newEvents(s) },
		"objects":     func() (part, error) { return newFurnished(s, c) },
		"descriptors": func() (part, error) { return newDescriptors(s) },
		"flood":       func() (part, error) { return newFlood(s) },
		"startup":     func() (part, error) { return newStartup(s), nil },
	}
	for _, name := range partNames {
		if !slices.Contains(strings.Split(s.parts, ","), name) {
			continue
		}
		p, err := makers[name]()
		if err != nil {
			return nil, err
		}
		chosen = append(chosen, p)
	}
	return chosen, nil
}
