package schema_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// qapi is a schema read by other means than the package's: encoding/json. It makes
// values of its types.
type qapi struct {
	commands []qapiEntry
	types    map[string]qapiEntry
}

type qapiEntry struct {
	Name     string
	MetaType string       `json:"meta-type"`
	JSONType string       `json:"json-type"`
	ArgType  string       `json:"arg-type"`
	RetType  string       `json:"ret-type"`
	Element  string       `json:"element-type"`
	Tag      string       `json:"tag"`
	Values   []string     `json:"values"`
	Members  []qapiMember `json:"members"`
	Variants []struct{ Case, Type string }
}

type qapiMember struct {
	Name, Type string
	Default    optional
}

// optional is true if the member default is there, which is always null.
type optional bool

func (o *optional) UnmarshalJSON([]byte) error {
	*o = true
	return nil
}

// schemaFiles are the captured schemas.
func schemaFiles(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/schemas/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal("no schemas: ", err)
	}
	return files
}

func readQAPI(t testing.TB, text []byte) *qapi {
	t.Helper()
	q := &qapi{types: make(map[string]qapiEntry)}
	for _, e := range unmarshal[[]qapiEntry](t, text) {
		switch e.MetaType {
		case "command":
			q.commands = append(q.commands, e)
		case "event":
		default:
			q.types[e.Name] = e
		}
	}
	return q
}

// value draws a value of a type as encoding/json reads it; depth is how many more
// levels it may have.
func (q *qapi) value(t *rapid.T, name string, depth int) any {
	switch of := q.types[name]; of.MetaType {
	case "builtin":
		return q.builtin(t, of.JSONType, depth)
	case "enum":
		return rapid.SampledFrom(of.Values).Draw(t, "enum")
	case "array":
		most := 3
		if depth <= 0 {
			most = 0
		}
		list := make([]any, rapid.IntRange(0, most).Draw(t, "length"))
		for i := range list {
			list[i] = q.value(t, of.Element, depth-1)
		}
		return list
	case "alternate":
		return q.alternate(t, of, depth)
	default:
		object := make(map[string]any)
		q.fill(t, of, object, depth)
		return object
	}
}

// alternate draws a value of one choice, without members where it may not go deeper.
func (q *qapi) alternate(t *rapid.T, of qapiEntry, depth int) any {
	choices := of.Members
	if depth <= 0 {
		choices = slices.DeleteFunc(slices.Clone(choices), func(m qapiMember) bool {
			return q.types[m.Type].MetaType == "object"
		})
	}
	return q.value(t, rapid.SampledFrom(choices).Draw(t, "choice").Type, depth)
}

// fill draws an object's members, with those of its branch.
func (q *qapi) fill(t *rapid.T, of qapiEntry, object map[string]any, depth int) {
	for _, m := range of.Members {
		if bool(m.Default) && (depth <= 0 || rapid.IntRange(0, 3).Draw(t, "left out") > 0) {
			continue
		}
		object[m.Name] = q.value(t, m.Type, depth-1)
	}
	for _, v := range of.Variants {
		if v.Case == object[of.Tag] {
			q.fill(t, q.types[v.Type], object, depth)
		}
	}
}

func (q *qapi) builtin(t *rapid.T, jsonType string, depth int) any {
	switch jsonType {
	case "string":
		return rapid.StringOfN(rapid.RuneFrom([]rune("aZ0-_/\"\\\n é😀")), 0, 8, -1).Draw(t, "string")
	case "int":
		return number(rapid.Int64().Draw(t, "int"))
	case "number":
		if rapid.Bool().Draw(t, "whole") {
			return number(rapid.Int32().Draw(t, "number"))
		}
		return json.Number(fmt.Sprintf("%.3f", rapid.Float64Range(-1e6, 1e6).Draw(t, "number")))
	case "boolean":
		return rapid.Bool().Draw(t, "bool")
	case "null":
		return nil
	}
	anyOf := []string{"string", "int", "boolean", "null"}
	if depth > 0 && rapid.Bool().Draw(t, "nested") {
		return []any{q.builtin(t, "value", depth-1), map[string]any{"k": q.builtin(t, "value", depth-1)}}
	}
	return q.builtin(t, rapid.SampledFrom(anyOf).Draw(t, "any"), depth)
}

func number[T int32 | int64 | uint64](n T) json.Number { return json.Number(fmt.Sprint(n)) }
