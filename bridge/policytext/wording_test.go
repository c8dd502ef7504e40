package policytext_test

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"qmp-dbus-bridge/bridge/action"
	"qmp-dbus-bridge/bridge/policytext"
)

// problemsOf says what is wrong with a text, LINE:COLUMN: text.
func problemsOf(text string) (lines []string) {
	statements, problems := policytext.Parse("file", text)
	for _, s := range statements {
		problems = append(problems, s.Check()...)
	}
	for _, p := range problems.InOrder() {
		lines = append(lines, strings.TrimPrefix(p.Error(), "file:"))
	}
	return lines
}

func TestWrongWords(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       []string
	}{
		{"command", `permit (principal, action == Action::"stpo", resource);`, []string{
			`1:30: unknown command "stpo": did you mean "stop"?`,
		}},
		{"command in capitals", `permit (principal, action == Action::"STOP", resource);`, []string{
			`1:30: unknown command "STOP": did you mean "event:STOP"?`,
		}},
		{"command with the other dash", `permit (principal, action in [Action::"cont", Action::"block-resize"], resource);`, []string{
			`1:47: unknown command "block-resize": did you mean "block_resize"?`,
		}},
		{"command that nobody knows", `permit (principal, action == Action::"x-colo-frobnicate", resource);`, []string{
			`1:30: unknown command "x-colo-frobnicate": commands that the bridge has no class for can't be named; they are in class:host`,
		}},
		{"command that poses", `forbid (principal, action == Action::"command:stop", resource);`, []string{
			`1:30: unknown command "command:stop": commands that the bridge has no class for can't be named; they are in class:host`,
		}},
		{"class", `permit (principal, action in Action::"class:reed", resource);`, []string{
			`1:30: unknown class "class:reed": did you mean "class:read"?`,
		}},
		{"methods", `permit (principal, action in [Action::"Pause", Action::"DeviceAdd", Action::"InjectNMI", Action::"Quit", Action::"Screenshot"], resource);`, []string{
			`1:31: unknown command "Pause": did you mean "stop"?`,
			`1:48: unknown command "DeviceAdd": did you mean "device_add"?`,
			`1:69: unknown command "InjectNMI": did you mean "inject-nmi"?`,
			`1:90: unknown command "Quit": did you mean "quit"?`,
			`1:106: unknown command "Screenshot": did you mean "screendump"?`,
		}},
		{"class without prefix", `permit (principal, action in Action::"storage", resource);`, []string{
			`1:30: unknown command "storage": did you mean "class:storage"?`,
		}},
		{"class as an action", `permit (principal, action == Action::"class:read", resource);`, []string{
			`1:30: action never equals Action::"class:read", but can be in it: write action in`,
		}},
		{"event", `permit (principal, action == Action::"event:VNC_CONECTED", resource);`, []string{
			`1:30: unknown event "event:VNC_CONECTED": did you mean "event:VNC_CONNECTED"?`,
		}},
		{"role", `permit (principal in Role::"operater", action, resource);`, []string{
			`1:22: unknown role "operater": did you mean "operator"?`,
		}},
		{"entity type", "permit (principal in\n\tUsr::\"1000\", action, resource);", []string{
			`2:2: unknown entity type Usr: did you mean "User"?`,
		}},
		{"entity type of another namespace", `permit (principal in QEMU::User::"1000", action, resource);`, []string{
			`1:22: unknown entity type QEMU::User`,
		}},
		{"type behind is", `permit (principal is Calller, action, resource);`, []string{
			`1:22: unknown entity type Calller: did you mean "Caller"?`,
		}},
		{"user by name", `permit (principal in User::"alice", action, resource);`, []string{
			`1:22: User::"alice": want the number of a user or group that can stand for somebody`,
		}},
		{"user and group that the system knows", `permit (principal in User::"root", action, resource) when { principal in Group::"games" };`, []string{
			`1:22: User::"root": users and groups are numbers: write User::"0" (root)`,
			`1:74: Group::"games": users and groups are numbers: write Group::"60" (games)`,
		}},
		{"annotation", `@ID("x") permit (principal, action, resource); @note("y") permit (principal, action, resource);`, []string{
			`1:1: @ID means nothing: write @id`,
		}},
		{"user with a zero in front", `permit (principal in User::"0100", action, resource);`, []string{
			`1:22: User::"0100": want the number of a user or group that can stand for somebody`,
		}},
		{"nobody", `permit (principal in User::"65534", action, resource);`, []string{
			`1:22: User::"65534": want the number of a user or group that can stand for somebody`,
		}},
		{"no group", `permit (principal in Group::"4294967295", action, resource);`, []string{
			`1:22: Group::"4294967295": want the number of a user or group that can stand for somebody`,
		}},
		{"group beyond 32 bits", `permit (principal in Group::"4294967296", action, resource);`, []string{
			`1:22: Group::"4294967296": want the number of a user or group that can stand for somebody`,
		}},
		{"caller by bus name", `permit (principal == Caller::"org.qemu", action, resource);`, []string{
			`1:22: Caller::"org.qemu": callers are named by their unique names, like :1.5; users are User::"1000"`,
		}},
		{"principal is no user", `permit (principal == User::"1000", action, resource);`, []string{
			`1:22: principal never equals User::"1000", but can be in it: write principal in`,
		}},
		{"principal of a type", `forbid (principal is User, action, resource);`, []string{
			`1:22: principal is never a User: it is a Caller`,
		}},
		{"principal in a VM", `forbid (principal in VM::"vm", action, resource);`, []string{`1:22: principal is never in a VM`}},
		{"action in a role", `permit (principal, action in Role::"admin", resource);`, []string{`1:30: action is never in a Role`}},
		{"no action", `forbid (principal, action in [], resource);`, []string{`1:1: action is in an empty list: that is never true`}},
		{"resource", `forbid (principal, action, resource == User::"1000");`, []string{`1:40: resource never equals a User`}},
		{"resource of a type", `forbid (principal, action, resource is Vm);`, []string{`1:40: unknown entity type Vm: did you mean "VM"?`}},
		{"attribute", `forbid (principal, action, resource) when { principal.uuid == 5 };`, []string{
			`1:55: a Caller has no attribute "uuid": did you mean "uid"?`,
		}},
		{"attribute in brackets", `forbid (principal, action, resource) when { principal["uuid"] == 5 };`, []string{
			`1:55: a Caller has no attribute "uuid": did you mean "uid"?`,
		}},
		{"attribute in parentheses", `forbid (principal, action, resource) when { (principal).uuid == 5 };`, []string{
			`1:57: a Caller has no attribute "uuid": did you mean "uid"?`,
		}},
		{"has", `forbid (principal, action, resource) when { principal has lable };`, []string{
			`1:59: a Caller has no attribute "lable": did you mean "label"?`,
		}},
		{"has a string", `forbid (principal, action, resource) when { context has "lable" };`, []string{
			`1:57: the context has no attribute "lable": did you mean "label"?`,
		}},
		{"attribute of a number", `forbid (principal, action, resource) when { principal.uid.low == 5 };`, []string{
			`1:59: a number has no attribute "low"`,
		}},
		{"attribute of an action", `forbid (principal, action, resource) when { action.name == "stop" };`, []string{
			`1:52: an Action has no attribute "name"`,
		}},
		{"attribute of an entity", `forbid (principal, action, resource) when { User::"5".name == "x" };`, []string{
			`1:45: User::"5" has no attribute "name"`,
		}},
		{"tags", `forbid (principal, action, resource) when { principal.hasTag("x") };`, []string{`1:1: nothing here has tags`}},
		{"a number as a string", `permit (principal, action, resource) when { principal.uid == "1000" };`, []string{
			`1:55: uid is a number and never equals a string`,
		}},
		{"a string as a number", `permit (principal, action, resource) when { 5 != principal.label };`, []string{
			`1:60: label is a string and never equals a number`,
		}},
		{"in a condition", `permit (principal, action, resource)
			when { principal in [Group::"27", Role::"king"] || action == Action::"class:read" || resource in User::"3" }
			unless { principal is User || principal == Group::"0" || action in Action::"stopp" };`, []string{
			`2:38: unknown role "king"`,
			`2:65: action never equals Action::"class:read", but can be in it: write action in`,
			`2:101: resource is never in a User`,
			`3:26: principal is never a User: it is a Caller`,
			`3:47: principal never equals Group::"0", but can be in it: write principal in`,
			`3:71: unknown command "stopp": did you mean "stop"?`,
		}},
		{"each time", `permit (principal, action in [Action::"x:y", Action::"stop"], resource) when { action == Action::"x:y" };`, []string{
			`1:31: unknown command "x:y": commands that the bridge has no class for can't be named; they are in class:host`,
			`1:90: unknown command "x:y": commands that the bridge has no class for can't be named; they are in class:host`,
		}},
		{"behind comments and strings", `// Action::"stpo"
			@note("Action::\"stpo\" /* ") /* Action::"stpo" */ permit (principal, // é
			/* é */ action == Action::"stpo", resource) when { "Action::\"stpo\"" == "é" };`, []string{
			`3:22: unknown command "stpo": did you mean "stop"?`,
		}},
		{"escaped", `permit (principal, action == Action::"\u{73}tp\x6f", resource);`, []string{
			`1:30: unknown command "stpo": did you mean "stop"?`,
		}},
		{"all of several policies", "permit (principal, action == Action::\"stpo\", resource);\n@id(\"x\")\npermit (principal in Role::\"vewer\", action, resource);", []string{
			`1:30: unknown command "stpo": did you mean "stop"?`,
			`3:22: unknown role "vewer": did you mean "viewer"?`,
		}},
		{"syntax and words", "permit (principal in Role::\"vewer\", action, resource);\n\n  permit (principl, action, resource);\n  forbid (principal;\npermit", []string{
			`1:22: unknown role "vewer": did you mean "viewer"?`,
			`3:11: syntax: got principl, want principal`,
			`4:20: syntax: got ;, want ,`,
			`5:7: syntax: the file ends, want (`,
		}},
	} {
		if diff := cmp.Diff(tt.want, problemsOf(tt.text)); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", tt.name, diff)
		}
	}
}

func TestSyntaxErrors(t *testing.T) {
	for text, want := range map[string]string{
		"permit (principl, action, resource);":                                "1:9: syntax: got principl, want principal",
		"\n\nallow (principal, action, resource);":                            "3:1: syntax: got allow, want permit or forbid",
		`permit (principal, action == "stop", resource);`:                     `1:30: syntax: got "stop", want an entity like Action::"stop" or User::"997"`,
		`permit (principal, action in ["stop"], resource);`:                   `1:31: syntax: got "stop", want an entity like Action::"stop" or User::"997"`,
		`permit (principal is "Caller", action, resource);`:                   `1:22: syntax: got "Caller", want the name of a type, without quotes`,
		`permit (principal in User::'997', action, resource);`:                `1:28: syntax: got ', want an id in double quotes, like User::"997"`,
		`permit (principal in User::997, action, resource);`:                  `1:28: syntax: got 997, want an id in double quotes, like User::"997"`,
		`permit (principal == ?principal, action, resource);`:                 `1:22: syntax: got ?, want an entity like Action::"stop" or User::"997"; there are no templates here`,
		`permit (principal, action, resource) when { ?x };`:                   `1:45: syntax: got ?, want a value; there are no templates here`,
		`@id(x) permit (principal, action, resource);`:                        `1:5: syntax: got x, want a text in double quotes`,
		`permit (principal in`:                                                `1:21: syntax: the file ends, want an entity like Action::"stop" or User::"997"`,
		"permit (principal, action, resource)":                                "1:37: syntax: the file ends, want ;",
		"permit (principal, action, resource)\npermit":                        "2:1: syntax: got permit, want ;",
		"permit (principal, action, resource) when { \"é\" == 5 \n6 };":       "2:1: syntax: got 6, want }",
		"permit (principal, action, resource) when { 9223372036854775808 };":  "1:45: syntax: 9223372036854775808: strconv.ParseInt: parsing \"9223372036854775808\": value out of range",
		"permit (principal, action, resource) when { -9223372036854775809 };": "1:46: syntax: 9223372036854775809: strconv.ParseInt: parsing \"-9223372036854775809\": value out of range",
		"\ufeffpermit (principal, action, resource);":                         "1:1: not plain UTF-8: ",
		"/* open": "1:1: comment not terminated",
		"permit (principal, action, resource) when { \"open\n\" };":               "1:45: literal not terminated",
		"permit (principal,\x00 action, resource);":                               "1:19: not plain UTF-8: ",
		"permit (principal, action, resource) when { \"\xff\" };":                 "1:46: not plain UTF-8: ",
		"permit (principal, action, resource) when { \"\\q\" };":                  "1:45: syntax: invalid char escape",
		"permit (principal, action, resource) when { \"a\" == \"\\u{110000}\" };": "1:52: syntax: \"\\u{110000}\": ",
	} {
		got := problemsOf(text)
		if len(got) != 1 || !strings.HasPrefix(got[0], want) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// Words that exist are right wherever they stand.
func TestRightWords(t *testing.T) {
	for _, text := range []string{
		`permit (principal == Caller::":1.5", action == Action::"event:VNC_CONNECTED", resource is VM in VM::"x");`,
		`permit (principal is Caller in Role::"helper", action in [Action::"class:input", Action::"subscribe",], resource in VM::"x",);`,
		`permit (principal, action, resource) when { principal has label && principal["label"] like "\*a*" && context has "label" };`,
		`permit (principal, action, resource) when { if principal in [User::"0", Group::"4294967294"] then true else principal.uid - 5 < -9223372036854775808 };`,
		`permit (principal, action, resource) when { {uuid: principal.uid}.uuid == 5 && [principal].contains(principal) };`,
		`permit (principal, action, resource) when { ip("127.0.0.1").isLoopback() && decimal("1.5") == decimal("1.5") };`,
	} {
		if got := problemsOf(text); got != nil {
			t.Errorf("%s: %q", text, got)
		}
	}
	for _, known := range action.Listed() {
		text := `permit (principal, action == Action::"` + known.String() + `", resource);`
		if got := problemsOf(text); got != nil {
			t.Errorf("%s: %q", text, got)
		}
	}
}

// A command with a frozen signature is one that policies can name.
func TestFrozenCommandsHaveAClass(t *testing.T) {
	frozen, err := os.ReadFile("../../schema/frozen.tsv")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for line := range strings.Lines(string(frozen)) {
		name, _, _ := strings.Cut(line, "\t")
		if strings.HasPrefix(name, "#") {
			continue
		}
		seen++
		if !action.IsListed(name) {
			t.Errorf("%s has no class", name)
		}
	}
	if seen < 200 {
		t.Errorf("only %d commands were looked at", seen)
	}
}

func TestPolicySizes(t *testing.T) {
	const head, tail = `permit (principal, action, resource) when { true`, ` };`
	and := strings.Repeat(" && true", (8192-12)/3) // && is two words here
	if got := problemsOf(head + and + tail); got != nil {
		t.Errorf("%d words: %q", 12+3*((8192-12)/3), got)
	}
	for name, text := range map[string]string{
		"conditions": head + and + " && true" + tail,
		"brackets":   `permit (principal, action, resource) when { ` + strings.Repeat("(", 1<<19),
		"negations":  `permit (principal, action, resource) when { ` + strings.Repeat("!", 1<<20-100) + tail,
		"attributes": `permit (principal, action, resource) when { context` + strings.Repeat(".a", 1<<19-100) + tail,
	} {
		got := problemsOf(text)
		if len(got) != 1 || !strings.HasSuffix(got[0], "a policy of more than 8192 words: split it") {
			t.Errorf("%s: %.200q", name, got)
		}
	}
}
