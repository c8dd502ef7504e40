package schema_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"qmp-dbus-bridge/schema"
)

// builder makes schemas of types written short:
//
//	str int number bool null any   [T]   enum(a,b)   alternate(T|T)
//	object{a:T,b?:T}               b is optional
type builder struct {
	t       testing.TB
	entries []any
	rest    string
}

func newBuilder(t testing.TB) *builder {
	t.Helper()
	b := &builder{t: t}
	for name, of := range map[string]string{
		"str": "string", "int": "int", "number": "number", "bool": "boolean", "null": "null", "any": "value",
	} {
		b.add(map[string]any{"meta-type": "builtin", "name": name, "json-type": of})
	}
	return b
}

// tableOf is the table of a QEMU with one command.
func tableOf(t testing.TB, command, arguments, result string) *schema.Table {
	t.Helper()
	b := newBuilder(t)
	b.command(command, arguments, result)
	return parseTable(t, b.json())
}

func (b *builder) command(name, arguments, result string) {
	b.add(map[string]any{
		"meta-type": "command", "name": name,
		"arg-type": b.typ(arguments), "ret-type": b.typ(result),
	})
}

func (b *builder) json() string {
	text, err := json.Marshal(b.entries)
	if err != nil {
		b.t.Fatal(err)
	}
	return string(text)
}

func (b *builder) add(entry any) { b.entries = append(b.entries, entry) }

// typ adds the entries of a type and returns its name.
func (b *builder) typ(text string) string {
	b.rest = text
	name := b.parse()
	if b.rest != "" {
		b.t.Fatalf("type %s: %q is left", text, b.rest)
	}
	return name
}

func (b *builder) parse() string {
	word := b.rest
	if end := strings.IndexAny(b.rest, ",|)]{}("); end >= 0 {
		word = b.rest[:end]
	}
	entry := map[string]any{"name": fmt.Sprint(len(b.entries), b.rest)}
	switch {
	case strings.HasPrefix(b.rest, "["):
		b.skip("[")
		entry["meta-type"], entry["element-type"] = "array", b.parse()
		b.skip("]")
	case word == "enum":
		b.skip("enum(")
		values, rest, _ := strings.Cut(b.rest, ")")
		b.rest = rest
		entry["meta-type"], entry["values"] = "enum", strings.Split(values, ",")
	case word == "alternate":
		b.skip("alternate(")
		entry["meta-type"], entry["members"] = "alternate", b.choices()
	case word == "object":
		b.skip("object{")
		entry["meta-type"], entry["members"] = "object", b.members()
	default:
		b.skip(word)
		return word
	}
	b.add(entry)
	return entry["name"].(string)
}

func (b *builder) choices() []any {
	var choices []any
	for !strings.HasPrefix(b.rest, ")") {
		choices = append(choices, map[string]any{"type": b.parse()})
		b.rest = strings.TrimPrefix(b.rest, "|")
	}
	b.skip(")")
	return choices
}

func (b *builder) members() []any {
	members := []any{}
	for !strings.HasPrefix(b.rest, "}") {
		name, rest, _ := strings.Cut(b.rest, ":")
		b.rest = rest
		m := map[string]any{"type": b.parse()}
		b.rest = strings.TrimPrefix(b.rest, ",")
		if n, optional := strings.CutSuffix(name, "?"); optional {
			name, m["default"] = n, nil
		}
		m["name"] = name
		members = append(members, m)
	}
	b.skip("}")
	return members
}

func (b *builder) skip(prefix string) {
	rest, found := strings.CutPrefix(b.rest, prefix)
	if !found {
		b.t.Fatalf("%q does not begin with %s", b.rest, prefix)
	}
	b.rest = rest
}
