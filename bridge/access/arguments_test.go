package access_test

import (
	"fmt"
	"strings"
	"testing"

	"qmp-dbus-bridge/bridge/access"
	"qmp-dbus-bridge/bridge/action"
)

// decideOn decides blockdev-add for a caller of whom one policy says that it may if the condition holds.
func decideOn(tb testing.TB, condition, arguments string) access.Decision {
	tb.Helper()
	rules := newAuthorizer(tb, policyFile(tb, `@id("if") permit (principal in User::"1000", action == Action::"blockdev-add", resource) when { `+condition+" };"))
	return rules.Decide(newCaller(tb, 1000), action.Command("blockdev-add"), []byte(arguments))
}

func TestArgumentsDeny(t *testing.T) {
	for _, tt := range []struct{ condition, arguments, want string }{
		{`context.arguments.driver == "file"`, `{"driver":"host_device"}`, "default-deny"},
		{`context.arguments.driver == "file"`, `{"Driver":"file"}`, "error:if"},
		{`context.arguments.driver == "file"`, `{}`, "error:if"},
		{`context.arguments.driver == "file"`, ``, "error:if"},
		{`context.arguments.driver == "file"`, `{"driver":["file"]}`, "default-deny"},
		{`context.arguments.size < 10`, `{"size":"5"}`, "error:if"},
		{`context.arguments.file.driver == "file"`, `{"file.driver":"file"}`, "error:if"},
		{`context.arguments.file.driver == "file"`, `{"file":"file"}`, "error:if"},
		{`context.arguments["file.driver"] == "file"`, `{"file":{"driver":"file"}}`, "error:if"},
		{`["driver"].containsAll(context.argumentNames)`, `{"driver":"x","x":1}`, "default-deny"},
		{`["driver"].containsAll(context.argumentNames)`, `{"driver":{"x":1}}`, "default-deny"},
		{`["a.b"].containsAll(context.argumentNames)`, `{"a.b":1}`, "default-deny"},
		{`["a", "a.b"].containsAll(context.argumentNames)`, `{"a":1,"a.b":1}`, "default-deny"},
		{`["a", "a[].b"].containsAll(context.argumentNames)`, `{"a":1,"a[]":{"b":1}}`, "default-deny"},
		{`["a", "a[].b"].containsAll(context.argumentNames)`, `{"a":[],"a[].b":1}`, "default-deny"},
		{`["a\\.b"].containsAll(context.argumentNames)`, `{"a\\":{"b":1}}`, "default-deny"},
		{`[].containsAll(context.argumentNames)`, `{"":1}`, "default-deny"},
		{`["x"].containsAll(context.argumentNames)`, `{"y":null}`, "default-deny"},
	} {
		if got := decideOn(t, tt.condition, tt.arguments); got.Allowed() || got.Policy() != tt.want {
			t.Errorf("%s with %s: %v by %s (%v), want a denial by %s", tt.condition, tt.arguments, got.Allowed(), got.Policy(), got.Err(), tt.want)
		}
	}
}

func TestArgumentsAllow(t *testing.T) {
	for _, tt := range []struct{ condition, arguments string }{
		{`context.arguments.driver == "file"`, `{"driver":"file"}`},
		{`context.arguments.driver == "file"`, `{ "driver" : "\u0066ile" }`},
		{`context.arguments.file.driver == "file"`, `{"file":{"driver":"file"}}`},
		{`context.arguments["file.driver"] == "file"`, `{"file.driver":"file"}`},
		{`context.arguments["read-only"]`, `{"read-only":true}`},
		{`!(context.arguments has force)`, `{}`},
		{`!(context.arguments has force)`, ``},
		{`context.arguments has file.driver`, `{"file":{"driver":1}}`},
		{`context.arguments.size == 9223372036854775807`, `{"size":9223372036854775807}`},
		{`context.arguments.size == -9223372036854775808`, `{"size":-9223372036854775808}`},
		{`context.arguments.size == 0`, `{"size":-0}`},
		{`context.arguments.nodes.contains("b")`, `{"nodes":["a","b"]}`},
		{`context.arguments.drives == [{"x": 1}, {"x": 2}]`, `{"drives":[{"x":2},{"x":1},{"x":2}]}`},
		{`context.arguments == {}`, ``},
		{`context == {arguments: {a: 1}, argumentNames: ["a"]}`, `{"a":1}`},
		{`context has arguments && context has argumentNames && !(context has label)`, ``},
		{
			`["driver", "file", "file.driver", "drives", "drives[].x", "drives[].y", "deep", "deep[][].z"].containsAll(context.argumentNames)`,
			`{"driver":"x","file":{"driver":"y"},"drives":[{"x":1},3,{"y":{}}],"deep":[[{"z":1}]]}`,
		},
		{`context.argumentNames == ["a\\.b", "c\\[]", "d\\\\", "e]", ""]`, `{"a.b":1,"c[]":2,"d\\":3,"e]":4,"":5}`},
		{`context.argumentNames == ["a", "a.", "a..b"]`, `{"a":{"":{"b":null}}}`},
	} {
		if got := decideOn(t, tt.condition, tt.arguments); !got.Allowed() || got.Policy() != "if" {
			t.Errorf("%s with %s: %v by %s (%v), want allowed", tt.condition, tt.arguments, got.Allowed(), got.Policy(), got.Err())
		}
	}
}

// unheld are values that Cedar can't hold.
var unheld = []string{"null", "1.5", "1.0", "1e3", "9223372036854775808", "-9223372036854775809", "18446744073709551615"}

// A policy that looks at, above or below what Cedar can't hold can't be evaluated, however it looks.
func TestUnheldArgumentsDeny(t *testing.T) {
	for _, tt := range []struct{ condition, arguments string }{
		{`context.arguments.x != "a"`, `{"x":%s}`},
		{`context.arguments.x < 10`, `{"x":%s}`},
		{`!(context.arguments has x)`, `{"x":%s}`},
		{`!(context.arguments has "x")`, `{"x":%s}`},
		{`!(context["arguments"] has x)`, `{"x":%s}`},
		{`!(context.arguments has x.y)`, `{"x":%s}`},
		{`!(context.arguments has x.y)`, `{"x":{"y":%s}}`},
		{`!(context.arguments has x && context.arguments.x has y)`, `{"x":{"y":%s}}`},
		{`context.arguments has x && context.arguments.x.y != 1`, `{"x":{"y":{"z":%s}}}`},
		{`context.arguments.x != {"z": 1}`, `{"x":{"y":%s,"z":2}}`},
		{`context.arguments.x == {"z": 1}`, `{"x":{"y":%s,"z":1}}`},
		{`context.arguments == {}`, `{"x":%s}`},
		{`context.arguments != {}`, `{"x":1,"y":%s}`},
		{`context != {}`, `{"x":%s}`},
		{`!context.arguments.x.contains(1)`, `{"x":[1.5,%s]}`},
		{`context.arguments.x.isEmpty()`, `{"x":[%s]}`},
		{`context.arguments has x`, `{"x":[%s]}`},
		{`!context.arguments.x.contains({"y": 1})`, `{"x":[{"y":%s}]}`},
		{`!([context.arguments.x, 1].contains(2))`, `{"x":{"a":{"b":{"c":%s}}}}`},
		{`(if true then context.arguments else {}) != {}`, `{"x":%s,"y":1}`},
		{`{"a": context.arguments.x}.a != 1`, `{"x":{"y":%s}}`},
		{`principal.uid == 1 || !(context.arguments has x)`, `{"x":%s}`},
		{`true || context.arguments.x like "*"`, `{"x":%s}`},
	} {
		for _, value := range unheld {
			arguments := fmt.Sprintf(tt.arguments, value)
			if got := decideOn(t, tt.condition, arguments); got.Allowed() || got.Policy() != "error:if" || got.Err() == nil {
				t.Errorf("%s with %s: %v by %s (%v), want a denial by error:if", tt.condition, arguments, got.Allowed(), got.Policy(), got.Err())
			}
		}
	}
}

// Where nobody looks, they are no matter.
func TestUnheldArgumentsElsewhere(t *testing.T) {
	for _, tt := range []struct{ condition, arguments string }{
		{`context.arguments.x == 1`, `{"x":1,"y":%s}`},
		{`context.arguments has x`, `{"x":{"y":%s}}`},
		{`context.arguments.x has y`, `{"x":{"y":1,"z":%s}}`},
		{`context.arguments.x.y == 1`, `{"x":{"y":1,"z":%s,"u":[%[1]s]}}`},
		{`["x", "x.y"].containsAll(context.argumentNames)`, `{"x":{"y":%s}}`},
		{`context has arguments`, `{"x":%s}`},
		{`principal.uid == 1000`, `{"x":%s}`},
	} {
		for _, value := range unheld {
			arguments := fmt.Sprintf(tt.arguments, value)
			if got := decideOn(t, tt.condition, arguments); !got.Allowed() {
				t.Errorf("%s with %s: denied by %s (%v), want allowed", tt.condition, arguments, got.Policy(), got.Err())
			}
		}
	}
}

// A policy that can't be evaluated denies what another permits, and a forbid is named before it.
func TestUnheldArgumentsWithOtherPolicies(t *testing.T) {
	admin, add := newCaller(t, 0), action.Command("blockdev-add")
	for text, want := range map[string]string{
		`@id("if") forbid (principal, action == Action::"blockdev-add", resource) when { context.arguments has x };`:                                                                    "error:if",
		`@id("if") forbid (principal, action, resource) when { context.arguments has x }; @id("no") forbid (principal, action, resource) when { context.argumentNames.contains("x") };`: "no",
		`@id("if") forbid (principal, action == Action::"stop", resource) when { context.arguments has x };`:                                                                            "admin",
		`@id("if") forbid (principal in User::"1", action, resource) when { context.arguments has x };`:                                                                                 "admin",
	} {
		if got := newAuthorizer(t, policyFile(t, text)).Decide(admin, add, []byte(`{"x":null}`)); got.Policy() != want || got.Allowed() != (want == "admin") {
			t.Errorf("%s: %v by %s, want %s", text, got.Allowed(), got.Policy(), want)
		}
	}
}

// What is not one JSON object, or could be read in two ways, is never decided on.
func TestBadArguments(t *testing.T) {
	const condition = `!(context.arguments has y)`
	for _, arguments := range []string{
		" ", "null", "1", `"x"`, "[]", "{", "}", `{"x":}`, `{"x":1}{"y":1}`, `{"x":1} x`, `{"x":1,"x":2}`, `{"x":1,"\u0078":2}`,
		`{"a":{"x":1,"x":2}}`, "{\"x\":\"\xff\"}", "{\"\xff\":1}", `{"x":"\ud800"}`, `{"x":[1}`, `{"x":{"y":1]}`, `{"x":01}`,
	} {
		if got := decideOn(t, condition, arguments); got.Allowed() || got.Policy() != "bad-arguments" || got.Err() == nil {
			t.Errorf("%s: %v by %s (%v), want a denial by bad-arguments", arguments, got.Allowed(), got.Policy(), got.Err())
		}
	}
	if got := decideOn(t, "true", "junk"); !got.Allowed() {
		t.Errorf("denied by %s (%v), though nothing looks at the arguments", got.Policy(), got.Err())
	}
}

// TestArgumentLimits has arguments at each limit and one past it.
func TestArgumentLimits(t *testing.T) {
	deep := func(levels int) string {
		return strings.Repeat(`{"a":`, levels) + "1" + strings.Repeat("}", levels)
	}
	lists := func(levels int) string {
		return `{"a":` + strings.Repeat("[", levels-1) + strings.Repeat("]", levels-1) + "}"
	}
	wide := func(values int) string { return `{"a":[` + strings.Repeat("1,", values-3) + "1]}" }
	names := func(bytes int) string { // the name of a, and that of a's member after it
		return `{"a":{"` + strings.Repeat("x", bytes-len("a")-len("a.")) + `":1}}`
	}
	for name, tt := range map[string]struct {
		of        func(int) string
		limit     int
		condition string
	}{
		"objects":        {deep, 32, "context.arguments has a"},
		"lists":          {lists, 32, "context.arguments has a"},
		"values":         {wide, 1024, "context.arguments has a"},
		"bytes of names": {names, 64 << 10, `context.argumentNames.contains("a")`},
	} {
		if got := decideOn(t, tt.condition, tt.of(tt.limit)); !got.Allowed() {
			t.Errorf("%d %s: denied by %s (%v)", tt.limit, name, got.Policy(), got.Err())
		}
		if got := decideOn(t, tt.condition, tt.of(tt.limit+1)); got.Allowed() || got.Policy() != "bad-arguments" {
			t.Errorf("%d %s: %v by %s, want a denial by bad-arguments", tt.limit+1, name, got.Allowed(), got.Policy())
		}
	}
}
