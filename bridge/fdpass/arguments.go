package fdpass

import (
	"encoding/json"
	"fmt"

	"qmp-dbus-bridge/schema"
)

// arguments are those of the commands that give QEMU descriptors of a caller's own, or take them back; nil what is not given.
type arguments struct {
	name, opaque *string
	set, fd      *int64 // fd is one of the set's
}

func nameOf(a *arguments) any { return &a.name }

func opaqueOf(a *arguments) any { return &a.opaque }

func setOf(a *arguments) any { return &a.set }

func fdOf(a *arguments) any { return &a.fd }

// CheckArguments tells what is wrong with the arguments, JSON or nil, of a command that IsOwn; of others nothing. It takes none that QEMU does
// not, so what is decided is what is run. The error is a *schema.ArgumentError.
func CheckArguments(command string, given []byte) error {
	_, err := readArguments(command, given)
	return err
}

// readArguments reads the arguments of a command, as CheckArguments takes them.
func readArguments(command string, given []byte) (a arguments, err error) {
	if !IsOwn(command) || given == nil {
		return a, nil
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(given, &members); err != nil {
		return a, &schema.ArgumentError{Path: command, Text: err.Error()}
	}
	for name, value := range members {
		of := ownCommands[command].members[name]
		if of == nil {
			return a, &schema.ArgumentError{Path: command, Text: fmt.Sprintf("there is no %.64q", name)}
		}
		if string(value) == "null" || json.Unmarshal(value, of(&a)) != nil {
			kind := "an integer"
			if _, isText := of(&a).(**string); isText {
				kind = "a string"
			}
			return a, &schema.ArgumentError{Path: command + "." + name, Text: "this is not " + kind}
		}
	}
	return a, nil
}

// fdName is the name in the arguments, empty if there is none.
func (a *arguments) fdName() string {
	if a.name == nil {
		return ""
	}
	return *a.name
}
