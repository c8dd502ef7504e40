package access_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/cedar-policy/cedar-go"
	"pgregory.net/rapid"

	"qmp-dbus-bridge/bridge/access"
	"qmp-dbus-bridge/bridge/action"
	"qmp-dbus-bridge/bridge/policytext"
)

// Decide looks only at the policies whose scope takes the caller, and brings its own entity store. The reference is Cedar
// with all policies and a plain map of entities.
func TestDecideAsPlainCedar(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		text := strings.Join(rapid.SliceOfN(rapid.Custom(drawPolicy), 0, 12).Draw(rt, "policies"), "\n")
		uid := rapid.SampledFrom([]uint32{0, bridgeUID, 1000, 1001, 1002, 1004}).Draw(rt, "uid")
		gids := rapid.SliceOfN(rapid.Uint32Range(2000, 2005), 0, 4).Draw(rt, "gids")
		label := rapid.SampledFrom([]string{"", "a", "b"}).Draw(rt, "label")
		caller, err := access.NewCaller(":1.5", uid, gids, 1, label)
		if err != nil {
			rt.Fatal(err)
		}
		action := drawAction(rt)
		arguments := rapid.Custom(drawArguments).Draw(rt, "arguments")
		got := newAuthorizer(t, policyFile(t, text)).Decide(caller, action, []byte(arguments))
		if want := reference(rt, text, caller, action, arguments); got.Allowed() != want {
			rt.Fatalf("%v = %v by %s, plain Cedar says %v\n%s\n%s", action, got.Allowed(), got.Policy(), want, arguments, text)
		}
	})
}

func drawPolicy(t *rapid.T) string {
	pick := func(name string, choices ...string) string { return rapid.SampledFrom(choices).Draw(t, name) }
	condition := pick("condition", "", "", rapid.Custom(drawCondition).Draw(t, "on arguments"), `when { `+label("a")+` }`, `when { `+label("b")+` }`,
		`unless { principal has label }`, "when { false }", `when { principal in Group::"2003" }`)
	if strings.Contains(condition, "context.arguments") && pick("asked", "asked", "named") == "named" {
		// Commands that have arguments are named, and so are the callers: then looks need no "has".
		return fmt.Sprintf(`%s (principal in %s, action in [Action::"device_add", Action::"device_del"], resource) %s;`,
			pick("effect", "permit", "permit", "permit", "forbid"), pick("callers", `Role::"admin"`, `Group::"2001"`, `Caller::":1.5"`), condition)
	}
	return fmt.Sprintf("%s (%s, %s, %s) %s %s;",
		pick("effect", "permit", "permit", "permit", "forbid"),
		pick("principal", "principal", `principal == Caller::":1.5"`, `principal in User::"1000"`,
			`principal in Group::"2001"`, `principal in Role::"admin"`, "principal is Caller",
			`principal is Caller in Group::"2002"`, `principal in Caller::":1.5"`),
		pick("action", "action", `action == Action::"stop"`, `action in Action::"class:read"`,
			`action in [Action::"cont", Action::"class:host"]`, `action == Action::"event:STOP"`),
		pick("resource", "resource", `resource == VM::"vm"`, `resource == VM::"other"`, "resource is VM"),
		asked.ReplaceAllString(condition, `(if context.arguments has $2 then $1 else `+overflow+`)`),
		pick("condition 2", "", "", "when { false }", `when { principal.uid < 1002 }`, `unless { `+label("b")+` }`))
}

// label compares the caller's, and is in error where there is none.
func label(with string) string {
	return fmt.Sprintf(`(if principal has label then context.label == %q else `+overflow+`)`, with)
}

// asked are looks at arguments, which are in error where the argument is missing.
var asked = regexp.MustCompile(`((?:"x" == )?context\.arguments\.([a-z]+(?:\.[a-z]+)?)(?: (?:==|like) (?:"[^"]*"|1))?)`)

// drawCondition draws one on arguments, of which some begin with what the sieve knows.
func drawCondition(t *rapid.T) string {
	parts := rapid.SliceOfN(rapid.SampledFrom([]string{
		`context.arguments.a == "x"`, `context.arguments.a == "y"`, `context.arguments.b == "x"`, `context.arguments.c.a == "x"`,
		`context.arguments.a like "x*"`, `context.arguments has a`, `context.arguments has c.a`, `context has arguments`,
		`["a", "b", "c", "c.a"].containsAll(context.argumentNames)`, `["a"].containsAll(context.argumentNames)`,
		`context.argumentNames.contains("b")`, `context.arguments == {a: "x"}`, `context.arguments.a == 1`, `"x" == context.arguments.a`,
		`context.arguments.nothing == "x"`, `principal.uid < 1001`, `(context.arguments.a == "x" || context.arguments.b == "x")`,
	}), 1, 4).Draw(t, "parts")
	return rapid.SampledFrom([]string{"when", "when", "when", "unless"}).Draw(t, "kind") + " { " + strings.Join(parts, " && ") + " }"
}

func drawArguments(t *rapid.T) string {
	members := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", "d"}), 0, 3).Draw(t, "members")
	slices.Sort(members)
	var list []string
	for _, name := range slices.Compact(members) {
		value := rapid.SampledFrom([]string{`"x"`, `"x"`, `"y"`, `1`, `{"a":"x"}`, `{}`, `["x"]`, `true`}).Draw(t, name)
		list = append(list, fmt.Sprintf("%q:%s", name, value))
	}
	return "{" + strings.Join(list, ",") + "}"
}

func drawAction(t *rapid.T) action.Action {
	return rapid.SampledFrom([]action.Action{
		action.Command("stop"), action.Command("cont"), action.Command("query-status"), action.Command("unknown"),
		action.Command("device_add"), action.Command("device_del"),
		action.Command("quit"), action.Event("STOP"), action.Event("NEW"), action.ReadProperties(),
	}).Draw(t, "action")
}

func reference(t *rapid.T, text string, caller *access.Caller, action action.Action, arguments string) bool {
	all, err := cedar.NewPolicySetFromBytes("all", []byte(policytext.Builtin()+text))
	if err != nil {
		t.Fatal(err)
	}
	principal := cedar.NewEntityUID("Caller", cedar.String(caller.Name))
	act := cedar.NewEntityUID("Action", cedar.String(action.String()))
	var given cedar.Record // Cedar reads JSON itself; it takes no member for anything special here
	if err := given.UnmarshalJSON([]byte(arguments)); err != nil {
		t.Fatal(err)
	}
	var names []cedar.Value
	for name, value := range given.All() {
		names = append(names, name)
		if record, ok := value.(cedar.Record); ok {
			for below := range record.Keys() {
				names = append(names, name+"."+below)
			}
		}
	}
	attributes, context := cedar.RecordMap{"uid": cedar.Long(caller.UID)}, cedar.RecordMap{"arguments": given, "argumentNames": cedar.NewSet(names...)}
	if caller.Label != "" {
		attributes["label"], context["label"] = cedar.String(caller.Label), cedar.String(caller.Label)
	}
	entities := cedar.EntityMap{
		principal: {UID: principal, Parents: cedar.NewEntityUIDSet(parents(caller)...), Attributes: cedar.NewRecord(attributes)},
		act: {UID: act, Parents: cedar.NewEntityUIDSet(
			cedar.NewEntityUID("Action", cedar.String("class:"+action.Class())))},
	}
	verdict, why := cedar.Authorize(all, entities, cedar.Request{
		Principal: principal, Action: act, Resource: cedar.NewEntityUID("VM", "vm"), Context: cedar.NewRecord(context),
	})
	return verdict == cedar.Allow && len(why.Errors) == 0
}

// parents follows newAuthorizer's grants.
func parents(caller *access.Caller) []cedar.EntityUID {
	ids := []cedar.EntityUID{cedar.NewEntityUID("User", cedar.String(fmt.Sprint(caller.UID)))}
	role := func(name policytext.Role) { ids = append(ids, cedar.NewEntityUID("Role", cedar.String(name))) }
	roles := []policytext.Role{policytext.RoleViewer, policytext.RoleOperator, policytext.RoleHelper, policytext.RoleAdmin}
	if caller.UID == 0 || caller.UID == bridgeUID {
		role(policytext.RoleAdmin)
	}
	if n := caller.UID; n >= 1001 && n <= 1004 {
		role(roles[n-1001])
	}
	for _, n := range caller.GIDs {
		ids = append(ids, cedar.NewEntityUID("Group", cedar.String(fmt.Sprint(n))))
		if n >= 2001 && n <= 2004 {
			role(roles[n-2001])
		}
	}
	return ids
}
