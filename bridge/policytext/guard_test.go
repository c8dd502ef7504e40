package policytext_test

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What a call may lack has to be asked for, or else a policy locks out all that lack it, root too.
func TestUnguardedLooks(t *testing.T) {
	const (
		others = "which calls of stop, query-status and others don't have, and they would all be denied: name only commands that have it, or ask "
		label  = "which callers without a security label don't have, and all their calls would be denied: ask "
	)
	for _, tt := range []struct {
		text string
		want []string
	}{
		{`forbid (principal, action, resource) when { context.arguments.driver == "x" };`, []string{
			`1:63: reads context.arguments.driver, ` + others + `context.arguments has driver before`,
		}},
		{`permit (principal in User::"1", action, resource) when { context.arguments["job-id"] like "x" };`, []string{
			`1:76: reads context.arguments["job-id"], ` + others + `context.arguments has "job-id" before`,
		}},
		{`permit (principal, action in Action::"class:read", resource) when { context.arguments.id == "x" };`, []string{
			`1:87: reads context.arguments.id, which some of class:read don't have, and they would all be denied: ` +
				`name only commands that have it, or ask context.arguments has id before`,
		}},
		{`permit (principal in User::"1", action in [Action::"device_del", Action::"stop"], resource) when { context.arguments.id == "x" };`, []string{
			`1:118: reads context.arguments.id, which calls of stop don't have, and they would all be denied: ` +
				`name only commands that have it, or ask context.arguments has id before`,
		}},
		{`forbid (principal, action == Action::"read-properties", resource) when { context.arguments.id == "x" };`, []string{
			`1:92: reads context.arguments.id, which calls of read-properties don't have, and they would all be denied: ` +
				`name only commands that have it, or ask context.arguments has id before`,
		}},
		{`forbid (principal, action in [Action::"device_add", Action::"blockdev-add"], resource) when { context.arguments.id == "x" };`, []string{
			`1:113: reads context.arguments.id, which calls of device_add may leave out, and they would be denied to everybody: ` +
				`name the callers, or ask context.arguments has id before`,
		}},
		{`forbid (principal, action == Action::"stop", resource) unless { principal.selinux.type == "x" };`, []string{
			`1:75: reads principal.selinux, which callers without an SELinux label don't have, and all their calls would be denied: ` +
				`ask principal has selinux before`,
		}},
		{`permit (principal in User::"1", action, resource) when { principal has selinux && principal.selinux.categories == ["c1"] };`, []string{
			`1:101: reads principal.selinux.categories, which labels without a level don't have, and all calls with one would be denied: ` +
				`ask principal.selinux has categories before`,
		}},
		{`permit (principal, action, resource) when { principal has label && principal.label == "x" || principal.label == "y" };`, []string{
			`1:104: reads principal.label, ` + label + `principal has label before`,
		}},
		{`permit (principal, action, resource) when { context.label == "x" && context has label } when { principal.label like "x" };`, []string{
			`1:53: reads context.label, ` + label + `context has label before`,
		}},
		{`permit (principal, action, resource) unless { principal has label } when { principal.label == "x" };`, []string{
			`1:86: reads principal.label, ` + label + `principal has label before`,
		}},
		{`permit (principal, action, resource) when { if principal has label then true else principal.label == "x" };`, []string{
			`1:93: reads principal.label, ` + label + `principal has label before`,
		}},
		{`permit (principal, action, resource) when { context.arguments has a && context.arguments.a.b == 1 };`, []string{
			`1:92: reads context.arguments.a.b, ` + others + `context.arguments.a has b before`,
		}},
		{`permit (principal, action, resource) when { context.arguments has a.b && context.arguments has "a.b.c" && context.arguments.a.b.c };`, []string{
			`1:129: reads context.arguments.a.b.c, ` + others + `context.arguments.a.b has c before`,
		}},
		{`permit (principal, action, resource) when { {x: principal}.x.label == "x" };`, []string{
			`1:62: reads principal.label, ` + label + `principal has label before`,
		}},
		{`permit (principal, action, resource) when { (if principal.uid == 1 then context.arguments else {}).x == 1 };`, []string{
			`1:100: "x" of what is known only in a call: write it behind then and else, or as a whole`,
		}},

		{`forbid (principal, action, resource) when { context.arguments has driver && context.arguments.driver == "x" };`, nil},
		{`forbid (principal, action, resource) unless { !(context.arguments has "job-id") || context.arguments["job-id"] like "x*" };`, nil},
		{`permit (principal, action, resource) when { if context has label then principal.label == "x" else true };`, nil},
		{`permit (principal, action, resource) when { principal has label } unless { context.label == "x" };`, nil},
		{`permit (principal, action, resource) unless { !(principal has label) } when { context.label == "x" };`, nil},
		{`permit (principal, action, resource) when { principal has selinux.categories && [principal.selinux.type].contains("x") && principal.selinux.categories == [] };`, nil},
		{`permit (principal, action, resource) when { (context.arguments has a && 1 == 2 || context.arguments has a.b) && context.arguments.a == 1 };`, nil},
		{`permit (principal, action, resource) when { context.arguments == {} || context.argumentNames.contains("x") };`, nil},
		{`permit (principal in User::"1", action == Action::"device_add", resource) when { context.arguments.bus == "x" };`, nil},
		{`permit (principal in User::"1", action == Action::"blockdev-add", resource) when { context.arguments.file.driver == "x" };`, nil},
		{`forbid (principal, action in [Action::"device_del", Action::"netdev_del"], resource) when { context.arguments.id like "x*" };`, nil},
	} {
		if diff := cmp.Diff(tt.want, problemsOf(tt.text)); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", tt.text, diff)
		}
	}
}

// The arguments of commands that policies are checked by are those that the methods have.
func TestArgumentsAreTheFrozenOnes(t *testing.T) {
	frozen, err := os.ReadFile("../../schema/frozen.tsv")
	if err != nil {
		t.Fatal(err)
	}
	ours, err := os.ReadFile("arguments.tsv")
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	for line := range strings.Lines(string(frozen)) {
		columns := strings.Split(line, "\t")
		if len(columns) != 4 {
			t.Fatalf("a line of %d columns: %q", len(columns), line)
		}
		want.WriteString(strings.Join(columns[:3], "\t") + "\n")
	}
	if diff := cmp.Diff(want.String(), string(ours)); diff != "" {
		t.Errorf("run go generate ./bridge/policytext (-want +got)\n%s", diff)
	}
}
