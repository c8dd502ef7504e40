package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// capture is one schema.
type capture struct {
	file    string
	entries []entry
	types   map[string]entry // all but commands and events
}

// entry is what matters of a SchemaInfo.
type entry struct {
	Name     string
	MetaType string `json:"meta-type"`
	JSONType string `json:"json-type"`
	ArgType  string `json:"arg-type"`
	RetType  string `json:"ret-type"`
	Element  string `json:"element-type"`
	Members  []member
	Variants []struct{}
}

type member struct {
	Name, Type string
	Default    json.RawMessage // null in what is optional
}

func (m member) isOptional() bool { return m.Default != nil }

func readCaptures(directory string) ([]capture, error) {
	files, err := filepath.Glob(filepath.Join(directory, "*.json"))
	if err != nil || len(files) == 0 {
		return nil, fmt.Errorf("no schemas in %s", directory)
	}
	captures := make([]capture, len(files))
	for i, file := range files {
		if captures[i], err = readCapture(file); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	return captures, nil
}

func readCapture(file string) (capture, error) {
	c := capture{file: filepath.Base(file), types: make(map[string]entry)}
	text, err := os.ReadFile(file)
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal(text, &c.entries); err != nil {
		return c, err
	}
	for _, e := range c.entries {
		if e.MetaType != "command" && e.MetaType != "event" {
			c.types[e.Name] = e
		}
	}
	return c, nil
}

func (c capture) commands() []entry {
	var commands []entry
	for _, e := range c.entries {
		if e.MetaType == "command" {
			commands = append(commands, e)
		}
	}
	return commands
}

// mandatory returns the members that a command's arguments must have.
func (c capture) mandatory(e entry) []argument {
	var mandatory []argument
	for _, m := range c.types[e.ArgType].Members {
		if !m.isOptional() {
			mandatory = append(mandatory, argument{m.Name, c.signature(m.Type)})
		}
	}
	return mandatory
}

// result returns the signature of what a command returns, "" if that is nothing.
func (c capture) result(e entry) string {
	if r := c.types[e.RetType]; r.MetaType == "object" && len(r.Members) == 0 && r.Variants == nil {
		return ""
	}
	return c.signature(e.RetType)
}

// builtins are the D-Bus types of the builtin types by what they are in JSON.
var builtins = map[string]string{
	"string": "s", "int": "x", "number": "d", "boolean": "b", "null": "v", "value": "v",
}

// signature returns the D-Bus type of a QAPI type.
func (c capture) signature(name string) string {
	switch t := c.types[name]; t.MetaType {
	case "array":
		return "a" + c.signature(t.Element)
	case "object":
		return "a{sv}"
	case "enum":
		return "s"
	case "builtin":
		return builtins[t.JSONType]
	default:
		return "v"
	}
}
