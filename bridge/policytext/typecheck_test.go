package policytext_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// What can't be evaluated because of the kinds of its values is told, at its place.
func TestWrongKinds(t *testing.T) {
	for _, tt := range []struct {
		conditions string // ^ stands in front of each place that there is a problem at
		want       []string
	}{
		{`unless { principal.^uid }`, []string{`uid is a number, but unless wants a boolean`}},
		{`when { ^5 } when { true } when { ^principal }`, []string{
			`this is a number, but when wants a boolean`, `principal is an entity, but when wants a boolean`,
		}},
		{`when { ^"x" && (^5 || principal has label) }`, []string{
			`this is a string, but && wants a boolean`, `this is a number, but || wants a boolean`,
		}},
		{`when { !principal.^uid && -^action == 5 }`, []string{
			`uid is a number, but ! wants a boolean`, `action is an entity, but - wants a number`,
		}},
		{`when { principal.uid < ^"5" || principal.uid < 5 }`, []string{
			`this is a string, but < wants a number or a datetime or a duration`,
		}},
		{`when { datetime("2024-01-01") <= ^duration("1h") || duration("1h") > duration("2h") || principal.uid < ^duration("1s") }`, []string{
			`this is a duration, but <= with a datetime wants a datetime`, `this is a duration, but < with a number wants a number`,
		}},
		{`when { principal.uid + ^"x" - context.arguments.a * ^true == -5 }`, []string{
			`this is a string, but + wants a number`, `this is a boolean, but * wants a number`,
		}},
		{`when { principal.^uid == "5" || "5" != principal.^uid || principal.^uid == principal.busNames || ^principal == "x" || 5 == 5 }`, []string{
			`uid is a number and never equals a string`, `uid is a number and never equals a string`,
			`uid is a number and never equals a set`, `principal is an entity and never equals a string`,
		}},
		{`when { (^principal.uid + 5) * 2 == [] || context.^argumentNames == "x" || context.^arguments == 5 }`, []string{
			`this is a number and never equals a set`, `argumentNames is a set and never equals a string`, `arguments is a record and never equals a number`,
		}},
		{`when { principal in ^"x" || ^"x" in principal || principal in [principal, ^5] || principal in context.^argumentNames || principal in context.arguments.a }`, []string{
			`this is a string, but in wants an entity or a set`, `this is a string, but in wants an entity`, `this is a number, but in wants an entity`,
			`an element of this is a string, but in wants an entity`,
		}},
		{`when { if principal.^uid then ^1 else true }`, []string{`uid is a number, but if wants a boolean`}},
		{`when { ^if principal.uid == 5 then 1 else 2 }`, []string{`this is a number, but when wants a boolean`}},
		{`when { principal.^uid like "5" || ^{"a": 5, b: [true, {}]} like "*" || context.arguments.a like "x" }`, []string{
			`uid is a number, but like wants a string`, `this is a record, but like wants a string`,
		}},
		{`when { (context.argumentNames).contains(^5) || principal.busNames.contains("x") || ["a", "b"].contains(principal.^uid) || [1, "a"].contains(principal.uid) }`, []string{
			`this is a number and never in a set of which each is a string`, `uid is a number and never in a set of which each is a string`,
		}},
		{`when { principal.^uid.contains(5) || [5].containsAll(^5) || ^"x".containsAny([]) || ^context.isEmpty() || context.arguments.a.isEmpty() }`, []string{
			`uid is a number, but contains wants a set`, `this is a number, but containsAll wants a set`,
			`this is a string, but containsAny wants a set`, `context is a record, but isEmpty wants a set`,
		}},
		{`when { principal is Caller in User::"5" && principal.^uid is Caller && ^5 is Caller && (^principal.uid + 5).x == 5 }`, []string{
			`uid is a number, but is wants an entity`, `this is a number, but is wants an entity`, `this is a number, but an attribute wants a record or an entity`,
		}},
		{`when { principal has selinux.user && principal.selinux.^user > 5 && context.arguments has "a" && context.^arguments }`, []string{
			`user is a string, but > wants a number or a datetime or a duration`, `arguments is a record, but && wants a boolean`,
		}},
		{`when { ip(^"x").isLoopback() && ^ip().isInRange(ip("1.1.1.1")) && decimal("1.5").lessThan(principal.^uid) && decimal(^5).lessThan(decimal("1.0")) }`, []string{
			`this is not an IP address`, `ip takes 1 arguments, not 0`, `uid is a number, but lessThan wants a decimal`, `this is a number, but decimal wants a string`,
		}},
		{`when { ^datetime("2024-01-01").offset(duration("1d")).toTime() && duration(^"1").toDays() == 5 && ^datetime("2024-01-01").durationSince(^duration("1d")) == 5 }`, []string{
			`this is a duration, but && wants a boolean`, `this is not a duration`,
			`this is a duration and never equals a number`, `this is a duration, but durationSince wants a datetime`,
		}},

		{`when { context.arguments has a && context.arguments.a && context.arguments.a == 5 && context.arguments.a.b.contains(5) }`, nil},
		{`unless { {a: principal.uid}.a && (if principal.uid == 5 then context.arguments else {}) == {} }`, nil},
		{`when { [principal, action].contains(action) && principal in [User::"5", principal] && ip("10.0.0.0/8").isInRange(ip("1.1.1.1")) }`, nil},
	} {
		const head = `@permit("when") permit (principal in User::"5", action == Action::"blockdev-add", resource) `
		var want []string
		column := len(head) + 1
		for i, part := range strings.Split(tt.conditions, "^") {
			if column += len(part); i < len(tt.want) {
				want = append(want, fmt.Sprintf("1:%d: %s", column, tt.want[i]))
			}
		}
		if diff := cmp.Diff(want, problemsOf(head+strings.ReplaceAll(tt.conditions, "^", "")+";")); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", tt.conditions, diff)
		}
	}
}

// Places are told whatever stands before them.
func TestPlacesOfKinds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		head := "permit (principal, action, resource) when { " + drawExpression(t, 4) + " }\nwhen { "
		want := fmt.Sprintf("%d:18: uid is a number, but when wants a boolean", strings.Count(head, "\n")+1)
		got := problemsOf(head + "principal.uid };")
		if len(got) == 1 && strings.Contains(got[0], "syntax") {
			t.Skip("no Cedar without more brackets")
		}
		if !slices.Contains(got, want) {
			t.Fatalf("%s\n%q, want %q", head, got, want)
		}
	})
}

// drawExpression draws what Cedar takes, whether it makes sense or not.
func drawExpression(t *rapid.T, depth int) string {
	if depth == 0 {
		return rapid.SampledFrom([]string{
			"principal", "action", "context", "principal.uid", `principal["uid"]`, "context.arguments.a", "5", "-5", `"uid"`, `"\""`, "true", `User::"5"`, "[]", "{}",
		}).Draw(t, "leaf")
	}
	draw := func() string {
		return fmt.Sprintf(rapid.SampledFrom([]string{"(%s)", "((%s))", "%s"}).Draw(t, "brackets"), drawExpression(t, depth-1))
	}
	switch form := rapid.SampledFrom([]string{
		"%s && %s", "%s || %s", "%s == %s", "%s != %s", "%s < %s", "%s <= %s", "%s > %s", "%s >= %s", "%s in %s", "%s + %s", "%s - %s", "%s * %s",
		"!%s", "!-%s", "-%s", "- -5 - %s", "%s.a", `%s["uid"]`, "%s has a", "%s has a.b.c", `%s has "a"`, `%s like "a\*"`, "%s is Caller", "%s is Caller in %s",
		"if %s then %s else %s", "[%s, %s,]", `{a: %s, "uid": %s}`, "%s.contains(%s)", "%s.isEmpty()", "ip(%s)", "%s.isInRange(%s)", `%s.getTag("a")`,
		"%s // principal.uid\n", "principal has selinux.type && %s",
	}).Draw(t, "form"); strings.Count(form, "%s") {
	case 1:
		return fmt.Sprintf(form, draw())
	case 2:
		return fmt.Sprintf(form, draw(), draw())
	default:
		return fmt.Sprintf(form, draw(), draw(), draw())
	}
}
