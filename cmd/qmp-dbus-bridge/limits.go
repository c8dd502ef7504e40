package main

import (
	"fmt"

	"qmp-dbus-bridge/bridge"
)

// limitFlags set limits.
type limitFlags struct {
	Limit []string `placeholder:"NAME=N" sep:"none" help:"Set a limit; docs/api.md tells what they are. Repeatable. Names and defaults: ${limits}."`

	limits bridge.Limits // of Limit
}

// read finds the mistakes that the parser can't see.
func (f *limitFlags) read() error {
	for _, text := range f.Limit {
		if err := f.limits.Set(text); err != nil {
			return fmt.Errorf("--limit %w", err)
		}
	}
	return nil
}
