package access_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"qmp-dbus-bridge/bridge/access"
	"qmp-dbus-bridge/bridge/action"
)

// qomArguments are members by which commands take objects.
var qomArguments = []struct{ command, arguments string }{
	{"qom-get", `{"path":%s,"property":"type"}`},
	{"qom-set", `{"path":%s,"property":"rotation","value":1}`},
	{"qom-list", `{"path":%s}`},
	{"qom-list-get", `{"paths":["/machine",%s]}`},
	{"device_del", `{"id":%s}`},
	{"eject", `{"id":%s}`},
	{"query-stats", `{"target":"vcpu","vcpus":[%s]}`},
}

func TestQOMPathsDeny(t *testing.T) {
	for _, condition := range []string{`!(context.arguments has x)`, `!context.argumentNames.contains("x")`} {
		rules := newAuthorizer(t, policyFile(t, `permit (principal in User::"1000", action, resource) when { `+condition+" };"))
		for _, of := range qomArguments {
			for _, path := range []string{
				"//", "///", "machine/peripheral", "/machine/", "/machine//", "//machine", "/machine//peripheral", "a/b", "a/", "./a",
			} {
				checkObject(t, rules, of.command, of.arguments, path, "odd-qom-path")
			}
		}
		for _, path := range []string{"", "machine", "net0", "."} {
			checkObject(t, rules, "qom-get", `{"path":%s}`, path, "odd-qom-path")
		}
	}
}

func TestQOMPathsAllow(t *testing.T) {
	rules := newAuthorizer(t, policyFile(t, `@id("if") permit (principal in User::"1000", action, resource) when { !(context.arguments has x) };`))
	for _, of := range qomArguments {
		for _, path := range []string{"/", "/machine", "/machine/peripheral/net0", "/machine/unattached/device[3]", "/a/../b"} {
			checkObject(t, rules, of.command, of.arguments, path, "if")
		}
	}
	checkObject(t, rules, "device_del", `{"id":%s}`, "net0", "if")
	checkObject(t, rules, "netdev_del", `{"id":%s}`, "a//b", "if") // no object of the tree
	checkObject(t, rules, "qom-get", `{"x.path":%s}`, "a//b", "if")
	checkObject(t, rules, "qom-get", `{"path":[{"path":%s}]}`, "a//b", "if") // for QEMU to refuse
}

// Where no policy looks at the arguments, QEMU's own way of finding objects is nobody's concern.
func TestQOMPathsOfOthers(t *testing.T) {
	rules := newAuthorizer(t, policyFile(t, `
		@id("all") permit (principal in User::"1000", action, resource);
		permit (principal in User::"1006", action, resource) when { !(context.arguments has x) };`))
	checkObject(t, rules, "qom-get", `{"path":%s}`, "machine//", "all")
}

func checkObject(t *testing.T, rules *access.Authorizer, command, arguments, path, want string) {
	t.Helper()
	text, err := json.Marshal(path)
	if err != nil {
		t.Fatal(err)
	}
	got := rules.Decide(newCaller(t, 1000), action.Command(command), fmt.Appendf(nil, arguments, text))
	if got.Policy() != want || got.Allowed() != (want != "odd-qom-path") {
		t.Errorf("%s of %q: %v by %s (%v), want %s", command, path, got.Allowed(), got.Policy(), got.Err(), want)
	}
}
