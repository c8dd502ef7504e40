package access_test

import (
	"strings"
	"testing"

	"qmp-dbus-bridge/bridge/access"
	"qmp-dbus-bridge/bridge/action"
)

// What a caller is told of a denial is of use to it, and nothing of the rules.
func TestReasons(t *testing.T) {
	qemu := uint32(9)
	rules, err := access.New(access.Config{VM: "vm", BridgeUID: bridgeUID, QEMU: &qemu, Files: []string{policyFile(t, `
		@id("hidden") forbid (principal, action == Action::"cont", resource);
		@id("failing") permit (principal, action == Action::"system_reset", resource) when { `+overflow+` };
		@id("shy") permit (principal in User::"7", action in [Action::"qom-get", Action::"device_add"], resource)
			when { ["path", "property"].containsAll(context.argumentNames) };`)}})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		uid       uint32
		action    action.Action
		arguments string
		want      string
	}{
		{7, action.Command("stop"), "", "lifecycle: no grant or policy permits it"},
		{7, action.ReadProperties(), "", "read: no grant or policy permits it"},
		{7, action.Event("VNC_CONNECTED"), "", "sensitive-read: no grant or policy permits it"},
		{7, action.Command("query-statuss"), "", "host: no grant or policy permits it; the bridge knows no such command"},
		{7, action.Command("object-add"), "", "host: no grant or policy permits it"},
		{7, action.Command("a:b"), "", "host: there can be nothing of that name"},
		{7, action.Command("cont"), "", "lifecycle: a policy forbids it"},
		{0, action.Command("system_reset"), "", "lifecycle: a policy can't be evaluated; the bridge's audit says which"},
		{0, action.Command("qmp_capabilities"), "", "monitor-control: the handshake is the bridge's own"},
		{7, action.Command("quit"), "", "monitor-control: it stays with administrators"},
		{9, action.Command("stop"), "", "lifecycle: QEMU's own user may not call the bridge"},
		{7, action.Command("qom-get"), `{"path":"net0"}`, "sensitive-read: a policy looks at the arguments, so name the object by its absolute path, or a device by its bare id"},
		{7, action.Command("device_add"), `[]`, "host: a policy looks at the arguments, and these can't be shown to one: too deep, too many, or not one JSON object"},
	} {
		got := rules.Decide(newCaller(t, tt.uid), tt.action, []byte(tt.arguments))
		if said := string(got.Class()) + ": " + got.Reason(); got.Allowed() || said != tt.want || strings.Contains(said, got.Policy()) {
			t.Errorf("uid %d, %v %s, decided by %s: %q, want %q", tt.uid, tt.action, tt.arguments, got.Policy(), said, tt.want)
		}
	}
	if got := rules.Decide(nil, action.Command("stop"), nil).Reason(); got != "it is not known who you are" {
		t.Errorf("nobody: %q", got)
	}
}
