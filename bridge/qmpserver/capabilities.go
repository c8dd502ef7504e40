package qmpserver

import (
	"encoding/json"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"qmp-dbus-bridge/qmp"
)

// checkCapabilities refuses arguments of qmp_capabilities that ask for more than there is, which is nothing.
func checkCapabilities(arguments jsontext.Value) *qmp.Error {
	if arguments == nil {
		return nil
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(arguments, &members); err != nil {
		return generic("Invalid parameter type for 'arguments', expected: object")
	}
	for name := range members {
		if name != "enable" {
			return generic("Parameter '%.100s' is unexpected", name)
		}
	}
	enable, given := members["enable"]
	if !given {
		return nil
	}
	var wanted []*string
	if err := json.Unmarshal(enable, &wanted); err != nil || wanted == nil || slices.Contains(wanted, nil) {
		return generic("Invalid parameter type for 'enable', expected: array")
	}
	if len(wanted) > 0 {
		return generic("Capability %.100s not available", *wanted[0])
	}
	return nil
}
