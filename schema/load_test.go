package schema_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"qmp-dbus-bridge/schema"
	"qmp-dbus-bridge/schema/wire"
)

// builtins begin every schema of these tests.
const builtins = `{"meta-type":"builtin","name":"str","json-type":"string"},{"meta-type":"builtin","name":"int","json-type":"int"}`

func object(name, members, more string) string {
	return fmt.Sprintf(`{"meta-type":"object","name":"%s","members":[%s]%s}`, name, members, more)
}

func command(name, arguments, result string) string {
	return fmt.Sprintf(`{"meta-type":"command","name":"%s","arg-type":"%s","ret-type":"%s"}`, name, arguments, result)
}

// schemaOf is a schema of these entries; all that is not said is the object "0".
func schemaOf(entries ...string) []byte {
	return []byte("[" + strings.Join(append([]string{builtins, object("0", "", "")}, entries...), ",") + "]")
}

// A schema that contradicts itself is an error that says where.
func TestParseTableContradictions(t *testing.T) {
	for want, entries := range map[string][]string{
		"command 'c': arg-type '1' is not in the schema":                      {command("c", "1", "0")},
		"command 'd': ret-type '1' is not in the schema":                      {command("d", "0", "1")},
		"command 'e': arg-type is not an object":                              {command("e", "str", "0")},
		"type '1' is there twice":                                             {object("1", "", ""), object("1", "", "")},
		"type '2': member 'a' is there twice":                                 {object("2", `{"name":"a","type":"str"},{"name":"a","type":"str"}`, "")},
		"type '3': member 'a': type '9' is not in the schema":                 {object("3", `{"name":"a","type":"9"}`, "")},
		"type '4': its tag 'b' is not a member":                               {object("4", "", `,"tag":"b","variants":[]`)},
		"type '5': a branch is not an object":                                 {object("5", `{"name":"a","type":"str"}`, `,"tag":"a","variants":[{"case":"x","type":"int"}]`)},
		"type '6': it is a branch of itself":                                  {object("6", `{"name":"a","type":"str"}`, `,"tag":"a","variants":[{"case":"x","type":"6"}]`)},
		"type '7': more than 8 arrays in each other: limit of D-Bus exceeded": {`{"meta-type":"array","name":"7","element-type":"7"}`},
		"type '8': a choice is of no kind of its own":                         {`{"meta-type":"alternate","name":"8","members":[{"type":"8"}]}`},
		"type '10': two choices are of one kind":                              {`{"meta-type":"alternate","name":"10","members":[{"type":"0"},{"type":"0"}]}`},
		"type '11': a value is not a string":                                  {`{"meta-type":"enum","name":"11","values":[1]}`},
		"type '12': members is not a list":                                    {`{"meta-type":"object","name":"12","members":7}`},
		"an entry has no type":                                                {object("13", `{"name":"a","type":null}`, "")},
		"an entry is not an object":                                           {object("14", `7`, "")},
		"an entry has no json-type":                                           {`{"meta-type":"builtin","name":"15"}`},
		"type '16': element-type '17' is not in the schema":                   {`{"meta-type":"array","name":"16","element-type":"17"}`},
	} {
		if _, err := schema.ParseTable(schemaOf(entries...)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseTable = %v, want %s", err, want)
		}
	}
}

// What a newer QEMU may add is no reason to fail.
func TestParseTableUnknown(t *testing.T) {
	table, err := schema.ParseTable(schemaOf(
		`{"meta-type":"vector","name":"v","of":"x"}`,
		`{"meta-type":"builtin","name":"blob","json-type":"bytes","more":[{}]}`,
		object("1", `{"name":"a","type":"v"},{"name":"b","type":"blob","new":1}`, `,"new":{}`),
		command("x-c", "1", "v"),
		`{"meta-type":"command","name":"x-d"}`, `{"meta-type":"event","name":"E"}`,
	))
	if err != nil {
		t.Fatal(err)
	}
	if c := table.Command("x-c"); c.InSignature() != "vv" || c.OutSignature() != "v" {
		t.Errorf("signatures %s, %s, want vv, v", c.InSignature(), c.OutSignature())
	}
	if got, err := invoke("XD a{sv} 1 a i 1").arguments(t, table); got != `{"a":1}` || err != nil {
		t.Errorf("a command without types: %s, %v", got, err)
	}
}

// A limit is passed by one more.
func TestParseTableLimits(t *testing.T) {
	for name, limit := range map[string]struct {
		most int
		of   func(n int) []byte
	}{
		"entries": {1 << 15, func(n int) []byte {
			return schemaOf(repeat(n-3, func(i int) string { return object(fmt.Sprint("o", i), "", "") }))
		}},
		"members": {1 << 10, func(n int) []byte { return schemaOf(object("1", members(n), "")) }},
		"values": {1 << 10, func(n int) []byte {
			return schemaOf(`{"meta-type":"enum","name":"1","values":[` + repeat(n, func(i int) string { return fmt.Sprintf(`"%d"`, i) }) + `]}`)
		}},
		"branches": {3, branches},
		"together": {1 << 10, func(n int) []byte {
			return schemaOf(object("1", members(n-500), `,"tag":"m0","variants":[{"case":"x","type":"2"}]`), object("2", members(500), ""))
		}},
		"arrays": {8, func(n int) []byte {
			return schemaOf(repeat(n, func(i int) string {
				return fmt.Sprintf(`{"meta-type":"array","name":"a%d","element-type":"a%d"}`, i, i+1)
			}),
				fmt.Sprintf(`{"meta-type":"enum","name":"a%d","values":[]}`, n))
		}},
		"label": {512, func(n int) []byte { return schemaOf(object(strings.Repeat("n", n), "", "")) }},
		"planned": {1 << 16, func(n int) []byte {
			return schemaOf(object("1", members(1024), ""), repeat((n+1023)/1024, func(i int) string { return command(fmt.Sprint("c", i), "1", "0") }))
		}},
		"bytes": {4 << 20, func(n int) []byte { return append(schemaOf(), strings.Repeat(" ", n-len(schemaOf()))...) }},
	} {
		if _, err := schema.ParseTable(limit.of(limit.most)); err != nil {
			t.Errorf("%d %s: %v", limit.most, name, err)
		}
		if _, err := schema.ParseTable(limit.of(limit.most + 1)); !errors.Is(err, wire.ErrLimit) {
			t.Errorf("%d %s: %v", limit.most+1, name, err)
		}
	}
	if _, err := schema.ParseTable([]byte("[" + repeat(1e6, func(int) string { return "{}" }) + "]")); err == nil {
		t.Error("a million entries are accepted")
	}
}

func repeat(n int, element func(int) string) string {
	elements := make([]string, n)
	for i := range elements {
		elements[i] = element(i)
	}
	return strings.Join(elements, ",")
}

func members(n int) string {
	return repeat(n, func(i int) string { return fmt.Sprintf(`{"name":"m%d","type":"str"}`, i) })
}

// branches is a union of n branches in each other.
func branches(n int) []byte {
	entries := make([]string, 0, n+1)
	for i := range n {
		more := fmt.Sprintf(`,"tag":"a%d","variants":[{"case":"x","type":"u%d"}]`, i, i+1)
		entries = append(entries, object(fmt.Sprint("u", i), fmt.Sprintf(`{"name":"a%d","type":"str"}`, i), more))
	}
	return schemaOf(append(entries, object(fmt.Sprint("u", n), "", ""))...)
}

// Types refer to each other in circles; values end somewhere.
func TestRecursiveType(t *testing.T) {
	table, err := schema.ParseTable(schemaOf(
		object("1", `{"name":"a","type":"1","default":null},{"name":"l","type":"[1]","default":null},{"name":"x","type":"alt","default":null}`, ""),
		`{"meta-type":"array","name":"[1]","element-type":"1"}`,
		`{"meta-type":"alternate","name":"alt","members":[{"type":"1"},{"type":"[1]"}]}`,
		command("x-c", "1", "1")))
	if err != nil {
		t.Fatal(err)
	}
	in := invoke("XC a{sv} 3 a a{sv} 0 l av 2 a{sv} 1 a a{sv} 0 a{sv} 0 x aa{sv} 1 1 x a{sv} 0")
	if got, err := in.arguments(t, table); got != `{"a":{},"l":[{"a":{}},{}],"x":[{"x":{}}]}` || err != nil {
		t.Errorf("%s = %s, %v", in, got, err)
	}
}

// Names that clash or that D-Bus can't have leave the command to Call.
func TestCommandNames(t *testing.T) {
	long := strings.Repeat("a", 256)
	signature := strings.TrimPrefix(strings.Repeat(`,{"name":"%","type":"str"}`, 256), ",")
	for i := range 256 {
		signature = strings.Replace(signature, "%", fmt.Sprint("m", i), 1)
	}
	table, err := schema.ParseTable(schemaOf(
		command("a_b", "0", "0"), command("a-b", "0", "0"), command("call", "0", "0"), command("getfd", "0", "0"),
		command("qmp_capabilities", "0", "0"), command(long, "0", "0"), command("7", "0", "0"), command("", "0", "0"),
		object("m", signature, ""), command("wide", "m", "0")))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"a-b": "AB", "a_b": "", "call": "", "getfd": "", "qmp_capabilities": "", long: "", "7": "_7", "": "_", "wide": "",
	} {
		c := table.Command(name)
		if c == nil || c.Member() != want || c.Name() != name || want != "" && table.Method(want) != c {
			t.Errorf("the command %.20q has the member %q, want %q", name, c.Member(), want)
		}
	}
	if got := len(table.Methods()); got != 3 {
		t.Errorf("%d methods, want 3", got)
	}
	if table.Command("b") != nil || table.Method("B") != nil || table.Method("") != nil || new(schema.Table).Method("AB") != nil {
		t.Error("there are commands that are not there")
	}
}
