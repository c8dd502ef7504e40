package access_test

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"qmp-dbus-bridge/bridge/access"
	"qmp-dbus-bridge/bridge/action"
)

// A policy for everything that is taken never fails for a caller without a label or a call without arguments.
func TestGuardedPoliciesAreEvaluated(t *testing.T) {
	taken, refused := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		text := fmt.Sprintf("forbid (principal, action, resource) %s { %s } %s { %s };",
			rapid.SampledFrom([]string{"when", "unless"}).Draw(rt, "first"), drawLook(rt, 4),
			rapid.SampledFrom([]string{"when", "unless"}).Draw(rt, "second"), drawLook(rt, 2))
		rules, err := newWithFiles(policyFile(t, text))
		if err != nil {
			refused++
			return
		}
		taken++
		for _, label := range []string{"", "x", "u:r:t", "u:r:t:s0"} {
			caller, err := access.NewCaller(":1.5", 0, nil, 1, label)
			if err != nil {
				rt.Fatal(err)
			}
			for _, arguments := range []string{"", "{}", `{"a":true}`} {
				if got := rules.Decide(caller, action.Command("stop"), []byte(arguments)); got.Err() != nil {
					rt.Fatalf("%s\nlabel %q, arguments %s: %v", text, label, arguments, got.Err())
				}
			}
		}
	})
	if taken == 0 || refused == 0 {
		t.Errorf("%d policies were taken and %d refused", taken, refused)
	}
}

// drawLook draws a condition that asks and looks.
func drawLook(t *rapid.T, depth int) string {
	if depth == 0 || rapid.IntRange(0, 4).Draw(t, "leaf") == 0 {
		return rapid.SampledFrom([]string{
			`principal has label`, `context has label`, `principal has selinux`, `principal has selinux.categories`, `context.arguments has a`,
			`principal.label == "x"`, `context.label like "*:t"`, `principal.selinux.type == "t"`, `principal.selinux.categories.isEmpty()`,
			`context.arguments.a`, `context.arguments.a == true`, `{x: context.arguments}.x.a`, "true", "principal.uid == 0",
		}).Draw(t, "look")
	}
	part := func() string { return "(" + drawLook(t, depth-1) + ")" }
	switch rapid.IntRange(0, 3).Draw(t, "kind") {
	case 0:
		return part() + " || " + part()
	case 1:
		return "!" + part()
	case 2:
		return "if " + part() + " then " + part() + " else " + part()
	}
	return part() + " && " + part()
}

// A policy that is taken and does not look at arguments can always be evaluated.
func TestTypecheckedPoliciesAreEvaluated(t *testing.T) {
	caller := newCaller(t, 0)
	caller.SetNames("org.qemu.Helper1")
	taken, refused := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		text := "forbid (principal, action, resource) when { " + drawKinds(rt, 3) + " };"
		rules, err := newWithFiles(policyFile(t, text))
		if err != nil {
			refused++
			return
		}
		taken++
		if got := rules.Decide(caller, action.Command("stop"), nil); got.Err() != nil {
			rt.Fatalf("%s\n%v", text, got.Err())
		}
	})
	if taken == 0 || refused == 0 {
		t.Errorf("%d policies were taken and %d refused", taken, refused)
	}
}

// drawKinds draws an expression of values whose kinds are known.
func drawKinds(t *rapid.T, depth int) string {
	if depth == 0 || rapid.IntRange(0, 5).Draw(t, "leaf") == 0 {
		return rapid.SampledFrom([]string{
			"principal.uid == 0", "principal.busNames", "context.argumentNames", "principal", "true", "5", `"x"`, "principal.uid", `ip("::1")`, `duration("1h")`,
		}).Draw(t, "value")
	}
	part := func() string { return "(" + drawKinds(t, depth-1) + ")" }
	switch rapid.IntRange(0, 11).Draw(t, "operator") {
	case 0, 1, 2:
		return part() + rapid.SampledFrom([]string{" && ", " || "}).Draw(t, "and") + part()
	case 3:
		return "!" + part()
	case 4:
		return part() + rapid.SampledFrom([]string{" < ", " >= ", " + ", " - "}).Draw(t, "number") + part()
	case 5:
		either := part() // of two kinds it is not known which it will be
		return "if " + part() + " then " + either + " else " + either
	case 6:
		return part() + ` like "x*"`
	case 7:
		return part() + rapid.SampledFrom([]string{".contains", ".containsAll", ".containsAny", ".isInRange"}).Draw(t, "method") + part()
	case 8:
		return "[" + part() + ", " + part() + "]"
	case 9:
		return part() + " in " + part()
	case 10:
		return part() + rapid.SampledFrom([]string{" is Caller", " has x", ".isEmpty()", ".isLoopback()", ".toHours()"}).Draw(t, "question")
	}
	return part() + " == " + part()
}
