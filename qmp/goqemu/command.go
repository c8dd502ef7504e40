package goqemu

import (
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"qmp-dbus-bridge/schema"
)

// command is what a program gives to Run.
type command struct {
	name      string
	arguments []byte         // a JSON object without white space that QEMU's parser takes; nil for none
	id        jsontext.Value // nil for none
}

// parseCommand reads {"execute": ..., "arguments": ..., "id": ...}.
func parseCommand(text []byte) (command, error) {
	var request struct {
		Execute   *string        `json:"execute"`
		Arguments jsontext.Value `json:"arguments"`
		ID        jsontext.Value `json:"id"`
	}
	if err := json.Unmarshal(text, &request, json.RejectUnknownMembers(true)); err != nil {
		return command{}, fmt.Errorf("command: %w", err)
	}
	if request.Execute == nil {
		return command{}, errors.New("command: want a JSON object with execute")
	}
	c := command{name: *request.Execute, id: request.ID}
	arguments, err := schema.Canonical(nil, request.Arguments, c.name)
	if err != nil {
		return command{}, fmt.Errorf("command: %w", err)
	}
	if string(arguments) != "{}" {
		c.arguments = arguments
	}
	return c, nil
}

// answer is QEMU's to the command.
func (c command) answer(returned []byte) []byte {
	text := append([]byte(`{"return": `), returned...)
	if c.id != nil {
		text = append(text, `, "id": `...)
		text = append(text, c.id...)
	}
	return append(text, '}')
}
