package access_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"qmp-dbus-bridge/bridge/access"
	"qmp-dbus-bridge/bridge/action"
	"qmp-dbus-bridge/bridge/policytext"
)

// TestQEMUItself: QEMU's uid may do nothing, whatever its groups are granted and whatever a policy
// says; unless the uid is root's or the bridge's, which may do all.
func TestQEMUItself(t *testing.T) {
	const qemu, gid = 9, 60
	uid := func(n uint32) *uint32 { return &n }
	all := policyFile(t, `@id("all") permit (principal, action, resource);`)
	for _, tt := range []struct {
		name   string
		qemu   *uint32
		caller uint32
		allow  bool
	}{
		{"QEMU", uid(qemu), qemu, false},
		{"another of its group", uid(qemu), 10, true},
		{"unknown", nil, qemu, true},
		{"as root", uid(0), 0, true},
		{"as the bridge", uid(bridgeUID), bridgeUID, true},
	} {
		a, err := access.New(access.Config{
			VM: "vm", BridgeUID: bridgeUID, QEMU: tt.qemu, Files: []string{all},
			Grants: []access.Grant{{Role: policytext.RoleAdmin, Group: true, ID: gid}},
		})
		if err != nil {
			t.Fatal(err)
		}
		caller, err := access.NewCaller(":1.1", tt.caller, []uint32{gid}, 0, "")
		if err != nil {
			t.Fatal(err)
		}
		actions := []action.Action{action.ReadProperties(), action.Introspect(), action.Subscribe(), action.Event("PANIC")}
		for _, command := range commandOfEachClass(t) {
			actions = append(actions, action.Command(command))
		}
		for _, asked := range actions {
			want := "qemu-itself"
			switch {
			case tt.allow && asked.Class() == action.ClassMonitorControl:
				want = "all"
			case tt.allow:
				want = "admin" // the first that permits it
			}
			d := a.Decide(caller, asked, nil)
			if d.Allowed() != tt.allow || d.Policy() != want {
				t.Errorf("%s: %v: allowed %v by %s, want %v by %s", tt.name, asked, d.Allowed(), d.Policy(), tt.allow, want)
			}
		}
	}
}

// commandOfEachClass is one that the built-in policy does not forbid to administrators.
func commandOfEachClass(t *testing.T) map[action.Class]string {
	t.Helper()
	of := make(map[action.Class]string)
	commands := table(t, "risk.tsv")
	for _, name := range slices.Sorted(maps.Keys(commands)) {
		if class := commands[name]; name != "qmp_capabilities" && name != "quit" && of[class] == "" {
			of[class] = name
		}
	}
	if len(of) != 11 {
		t.Fatalf("commands of %d classes", len(of))
	}
	return of
}

// TestQEMUIsNotGranted: a role for QEMU's uid is a mistake that is told.
func TestQEMUIsNotGranted(t *testing.T) {
	qemu := uint32(9)
	for _, tt := range []struct {
		grant  access.Grant
		bridge uint32
		want   string // empty: taken
	}{
		{access.Grant{Role: policytext.RoleViewer, ID: 9}, 8, "viewer=uid:9: uid 9 is QEMU's own"},
		{access.Grant{Role: policytext.RoleViewer, ID: 9}, 9, ""},
		{access.Grant{Role: policytext.RoleViewer, ID: 9, Group: true}, 8, ""},
	} {
		_, err := access.New(access.Config{VM: "vm", BridgeUID: tt.bridge, QEMU: &qemu, Grants: []access.Grant{tt.grant}})
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v, bridge %d: %v, want %q", tt.grant, tt.bridge, err, tt.want)
		}
	}
}
