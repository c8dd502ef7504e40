package main

import "fmt"

// accounts are flags whose values are users or groups, by name or number.
type accounts []struct {
	flag, value string
	parse       func(text string) (uint32, error)
	id          **uint32 // set where there is a value
}

// resolve looks the names up.
func (list accounts) resolve() error {
	for _, a := range list {
		if a.value == "" {
			continue
		}
		id, err := a.parse(a.value)
		if err != nil {
			return fmt.Errorf("%s %s: %w", a.flag, a.value, err)
		}
		*a.id = &id
	}
	return nil
}
