package main

import (
	"fmt"
	"os/user"
	"strconv"
)

// accounts are flags whose values are users or groups, by name or number.
type accounts []struct {
	flag, value string
	find        func(name string) (number string, err error)
	id          **uint32 // set where there is a value
}

// resolve looks the names up.
func (list accounts) resolve() error {
	for _, a := range list {
		if a.value == "" {
			continue
		}
		id, err := accountID(a.value, a.find)
		if err != nil {
			return fmt.Errorf("%s %s: %w", a.flag, a.value, err)
		}
		*a.id = &id
	}
	return nil
}

func accountID(value string, find func(string) (string, error)) (uint32, error) {
	if id, err := strconv.ParseUint(value, 10, 32); err == nil {
		return uint32(id), nil
	}
	number, err := find(value)
	if err != nil {
		return 0, err
	}
	id, err := strconv.ParseUint(number, 10, 32)
	return uint32(id), err
}

func findUser(name string) (string, error) {
	found, err := user.Lookup(name)
	if err != nil {
		return "", err
	}
	return found.Uid, nil
}

func findGroup(name string) (string, error) {
	found, err := user.LookupGroup(name)
	if err != nil {
		return "", err
	}
	return found.Gid, nil
}
