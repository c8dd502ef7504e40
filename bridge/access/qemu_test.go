package access_test

import (
	"strings"
	"testing"

	"qmp-dbus-bridge/bridge/access"
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
		want   string // the deciding policy
		allow  bool
	}{
		{"QEMU", uid(qemu), qemu, "qemu-itself", false},
		{"another of its group", uid(qemu), 10, "all", true},
		{"unknown", nil, qemu, "all", true},
		{"as root", uid(0), 0, "all", true},
		{"as the bridge", uid(bridgeUID), bridgeUID, "all", true},
	} {
		a, err := access.New(access.Config{
			VM: "vm", BridgeUID: bridgeUID, QEMU: tt.qemu, Files: []string{all},
			Grants: []access.Grant{{Role: access.RoleAdmin, Group: true, ID: gid}},
		})
		if err != nil {
			t.Fatal(err)
		}
		caller, err := access.NewCaller(":1.1", tt.caller, []uint32{gid}, 0, "")
		if err != nil {
			t.Fatal(err)
		}
		for _, action := range []access.Action{access.ReadProperties(), access.Introspect(), access.Subscribe(), access.Event("PANIC")} {
			d := a.Decide(caller, action, nil)
			if d.Allowed() != tt.allow || !tt.allow && d.Policy() != tt.want {
				t.Errorf("%s: %v: allowed %v by %s, want %v by %s", tt.name, action, d.Allowed(), d.Policy(), tt.allow, tt.want)
			}
		}
	}
}

// TestQEMUIsNotGranted: a role for QEMU's uid is a mistake that is told.
func TestQEMUIsNotGranted(t *testing.T) {
	qemu := uint32(9)
	for _, tt := range []struct {
		grant  access.Grant
		bridge uint32
		want   string // empty: taken
	}{
		{access.Grant{Role: access.RoleViewer, ID: 9}, 8, "viewer=uid:9: uid 9 is QEMU's own"},
		{access.Grant{Role: access.RoleViewer, ID: 9}, 9, ""},
		{access.Grant{Role: access.RoleViewer, ID: 9, Group: true}, 8, ""},
	} {
		_, err := access.New(access.Config{VM: "vm", BridgeUID: tt.bridge, QEMU: &qemu, Grants: []access.Grant{tt.grant}})
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v, bridge %d: %v, want %q", tt.grant, tt.bridge, err, tt.want)
		}
	}
}
