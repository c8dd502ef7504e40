package access_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"qmp-dbus-bridge/bridge/access"
)

// unreachable loads a policy file with grants and returns what of it never takes effect, LINE:COLUMN: text.
func unreachable(t *testing.T, text string, grants ...string) []string {
	t.Helper()
	path := policyFile(t, text)
	config := access.Config{VM: "vm", BridgeUID: bridgeUID, Files: []string{path}}
	for _, text := range grants {
		grant, err := access.ParseGrant(text)
		if err != nil {
			t.Fatal(err)
		}
		config.Grants = append(config.Grants, grant)
	}
	rules, err := access.New(config)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, p := range rules.Unreachable(len(grants) > 0) {
		lines = append(lines, strings.ReplaceAll(strings.TrimPrefix(p.Error(), path+":"), path, "FILE"))
	}
	return lines
}

// The group of uid 1 in Debian is 1; no user has the number 4000000.
func TestUnreachablePermits(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		grants     []string
		want       []string
	}{
		{"quit", `permit (principal in User::"1000", action == Action::"quit", resource);`, nil, []string{
			"1:46: this permit never takes effect: quit-stays-with-admin (builtin.cedar:49:1) forbids it",
		}},
		{"quit among others", `permit (principal, action in [Action::"stop", Action::"quit", Action::"qmp_capabilities"], resource) when { principal.uid == 5 };`, nil, []string{
			"1:47: this permit never takes effect: quit-stays-with-admin (builtin.cedar:49:1) forbids it",
			"1:63: this permit never takes effect: no-qmp-capabilities (builtin.cedar:54:1) forbids it",
		}},
		{"handshake for admin", `permit (principal in Role::"admin", action == Action::"qmp_capabilities", resource);`, nil, []string{
			"1:47: this permit never takes effect: no-qmp-capabilities (builtin.cedar:54:1) forbids it",
		}},
		{"condition", `permit (principal, action, resource) when { false };
			permit (principal, action, resource) when { principal.uid == 5 } unless { true };`, nil, []string{
			"1:1: this permit never takes effect: its condition is never met",
			"2:4: this permit never takes effect: its condition is never met",
		}},
		{"forbidden action", `permit (principal in Group::"5", action == Action::"stop", resource == VM::"vm");
			@id("no") forbid (principal, action in [Action::"cont", Action::"class:lifecycle"], resource is VM);`, nil, []string{
			"1:44: this permit never takes effect: no (FILE:2:4) forbids it",
		}},
		{"forbidden class", `permit (principal, action in Action::"class:input", resource);
			forbid (principal, action in Action::"class:input", resource);`, nil, []string{
			"1:30: this permit never takes effect: FILE:2:4 (FILE:2:4) forbids it",
		}},
		{"forbidden event", `permit (principal in User::"5", action == Action::"event:VNC_CONNECTED", resource);
			@id("no") forbid (principal, action in Action::"class:sensitive-read", resource);`, nil, []string{
			"1:43: this permit never takes effect: no (FILE:2:4) forbids it",
		}},
		{"forbidden caller", `permit (principal in User::"5", action, resource); @id("no") forbid (principal in User::"5", action, resource);`, nil, []string{
			"1:1: this permit never takes effect: no (FILE:1:52) forbids all of it",
		}},
		{"user without a grant", `permit (principal in User::"4000", action == Action::"stop", resource);`, []string{"viewer=uid:1"}, []string{
			`1:22: User::"4000" is granted no role: it can't connect to the private bus`,
		}},
		{"group without a grant", `permit (principal is Caller in Group::"4000", action == Action::"stop", resource);`, []string{"viewer=uid:1"}, []string{
			`1:32: Group::"4000" is granted no role: it can't connect to the private bus`,
		}},
		{"user outside of the group", `permit (principal in User::"1", action == Action::"stop", resource);`, []string{"viewer=gid:4000"}, []string{
			`1:22: User::"1" is granted no role: it can't connect to the private bus`,
		}},
		{"role without a grant", `permit (principal in Role::"helper", action == Action::"stop", resource);`, []string{"viewer=uid:1"}, []string{
			`1:22: the role helper is granted to nobody`,
		}},

		{"reachable", `permit (principal in Role::"admin", action == Action::"quit", resource);
			permit (principal, action in Action::"class:monitor-control", resource);
			permit (principal, action, resource) when { principal.uid == 5 };
			permit (principal in Group::"7", action == Action::"cont", resource);
			permit (principal in User::"5", action == Action::"stop", resource == VM::"vm");
			permit (principal in User::"8", action == Action::"stop", resource);
			permit (principal == Caller::":1.5", action == Action::"stop", resource);
			forbid (principal, action == Action::"cont", resource) when { principal.uid == 5 };
			forbid (principal in User::"5", action == Action::"stop", resource == VM::"other");
			forbid (principal == Caller::":1.8", action, resource);
			forbid (principal in Group::"5", action, resource);
			forbid (principal in User::"4000", action, resource);`, nil, nil},
		{"granted", `permit (principal in User::"1", action == Action::"stop", resource);
			permit (principal in Group::"1", action == Action::"stop", resource);
			permit (principal in Role::"helper", action == Action::"stop", resource);
			permit (principal in Role::"admin", action == Action::"x-oob-test", resource);
			permit (principal in User::"0", action == Action::"x-oob-test", resource);
			permit (principal in User::"500", action == Action::"x-oob-test", resource);`, []string{"helper=uid:1"}, nil},
		{"granted by group", `permit (principal in User::"1", action == Action::"stop", resource);
			permit (principal in User::"4000000", action == Action::"stop", resource);`, []string{"helper=gid:1"}, nil},
		{"granted to an unknown user", `permit (principal in Group::"4000", action == Action::"stop", resource);`, []string{"helper=uid:4000000"}, nil},
	} {
		if diff := cmp.Diff(tt.want, unreachable(t, tt.text, tt.grants...)); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", tt.name, diff)
		}
	}
}

// Without any grant, nobody but root and the bridge can connect to the private bus.
func TestUnreachableWithoutGrants(t *testing.T) {
	rules := newAuthorizer(t)
	if got := rules.Unreachable(true); got != nil {
		t.Errorf("the built-in policy: %v", got)
	}
	path := policyFile(t, `permit (principal in User::"4000", action == Action::"stop", resource);`)
	rules, err := newWithFiles(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := rules.Unreachable(true); len(got) != 1 {
		t.Errorf("on the private bus: %v", got)
	}
	if got := rules.Unreachable(false); got != nil {
		t.Errorf("on another: %v", got)
	}
}

func TestElsewhere(t *testing.T) {
	path := policyFile(t, `permit (principal, action, resource == VM::"vm");
permit (principal, action, resource in VM::"db1");
forbid (principal, action == Action::"stop", resource is VM in VM::"VM");
permit (principal, action, resource);`)
	rules, err := newWithFiles(path)
	if err != nil {
		t.Fatal(err)
	}
	want := path + `:2:40: never applies to the VM "vm"` + "\n" + path + `:3:64: never applies to the VM "vm"`
	if got := rules.Elsewhere().Error(); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
