package access_test

import (
	"strings"
	"testing"

	"qmp-dbus-bridge/bridge/access"
	"qmp-dbus-bridge/bridge/action"
)

// decideLabelled decides stop for a caller with a label, who may if the condition holds and all that it reads is there.
func decideLabelled(tb testing.TB, condition, label string) access.Decision {
	tb.Helper()
	for _, path := range []string{"label", "selinux", "selinux.sensitivity", "selinux.categories"} {
		if strings.Contains(condition, "principal."+path) {
			condition = "principal has " + path + " && " + condition
		}
	}
	rules := newAuthorizer(tb, policyFile(tb, `@id("if") permit (principal in User::"1000", action, resource) when { `+condition+" };"))
	caller, err := access.NewCaller(":1.5", 1000, nil, 1, label)
	if err != nil {
		tb.Fatal(err)
	}
	return rules.Decide(caller, action.Command("stop"), nil)
}

func TestSELinuxDenies(t *testing.T) {
	for _, label := range []string{
		"", "unconfined", "virt-aa-helper (enforce)", ":", "::", ":::", "a:b", "a:b:", ":b:c", "a b:c:d", "a:b:c:", "a:b:c::c1", "a:b:c:s0:",
		"a:b:c:s0:c", "a:b:c:s0:c01", "a:b:c:s0:c-1", "a:b:c:s0:+1", "a:b:c:s0:c1024", "a:b:c:s0:c1,", "a:b:c:s0:c1,,c2",
		"a:b:c:s0:c2,c1", "a:b:c:s0:c1,c1", "a:b:c:s0:c5.c3", "a:b:c:s0:c3.c3", "a:b:c:s0:c1.", "a:b:c:s0:c1.c2.c3", "a:b:c:s0:c1:c2",
		"a:b:c:s0-", "a:b:c:s0:c1-x!", "a:b:c:s0-s0:c1024", "a:b:c:s0\n", "a:b:c:s0:c99999999999999999999",
		"a:b:c:s0:c1.c1024",
	} {
		if got := decideLabelled(t, `principal has selinux`, label); got.Allowed() {
			t.Errorf("%q is taken for SELinux's", label)
		}
		if got := decideLabelled(t, `!(principal has selinux) && !(principal has selinux.type)`, label); got.Policy() != "if" {
			t.Errorf("%q: decided by %s, want if: there is no SELinux label", label, got.Policy())
		}
	}
	for condition, label := range map[string]string{
		`principal.selinux.categories == ["c1"]`:                 "u:r:t:s0:c1,c2",
		`["c1", "c2"].containsAll(principal.selinux.categories)`: "u:r:t:s0:c1.c3",
		`principal.selinux.categories.contains("c10")`:           "u:r:t:s0:c1,c100",
		`principal.selinux.categories.contains("c5")`:            "u:r:t:s0-s0:c0.c1023",
		`principal.selinux has categories`:                       "u:r:t",
		`principal.selinux has sensitivity`:                      "u:r:t",
		`principal.selinux.type == "svirt_t"`:                    "u:svirt_t:t:s0",
		`principal.selinux.sensitivity == "s0"`:                  "u:r:t:s1",
	} {
		if got := decideLabelled(t, condition, label); got.Allowed() {
			t.Errorf("%s holds for %q", condition, label)
		}
	}
}

func TestSELinux(t *testing.T) {
	for condition, label := range map[string]string{
		`principal.selinux == {user: "system_u", role: "system_r", type: "svirt_t", sensitivity: "s0", categories: ["c345", "c12"]}`: "system_u:system_r:svirt_t:s0:c12,c345",
		`principal.selinux.categories == ["c1", "c3", "c4", "c5", "c9"]`:                                                             "u:r:t:s0:c1,c3.c5,c9",
		`principal.selinux.categories == []`:                                              "u:r:t:s0",
		`principal.selinux.categories.isEmpty() && principal.selinux.sensitivity == "s0"`: "u:r:t:s0-s15:c0.c1023",
		`principal.selinux.categories.containsAll(["c0", "c512", "c1023"])`:               "u:r:t:s0:c0.c1023",
		`principal.selinux == {user: "u", role: "r", type: "t"}`:                          "u:r:t",
		`principal.label == "u:r:t:s0"`:                                                   "u:r:t:s0",
	} {
		if got := decideLabelled(t, condition, label); !got.Allowed() {
			t.Errorf("%s does not hold for %q: %s, %v", condition, label, got.Policy(), got.Err())
		}
	}
}
