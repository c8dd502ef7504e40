package action_test

import (
	"strings"
	"testing"

	"qmp-dbus-bridge/bridge/action"
)

func TestActionNames(t *testing.T) {
	long := strings.Repeat("x", 255)
	for _, tt := range []struct {
		action action.Action
		name   string
		class  action.Class
	}{
		{action.Command("stop"), "stop", action.ClassLifecycle},
		{action.Command("no-such-command"), "no-such-command", action.ClassHost},
		{action.Command("with space"), "with space", action.ClassHost},
		{action.Command(""), "", action.ClassHost},
		{action.Command("read-properties"), "command:read-properties", action.ClassHost},
		{action.Command("introspect"), "command:introspect", action.ClassHost},
		{action.Command("subscribe"), "command:subscribe", action.ClassHost},
		{action.Command("event:STOP"), "command:event:STOP", action.ClassHost},
		{action.Command("class:read"), "command:class:read", action.ClassHost},
		{action.Command("command:stop"), "command:command:stop", action.ClassHost},
		{action.Command(long), long, action.ClassHost},
		{action.Command(long + "y"), "command:" + long, action.ClassHost},
		{action.Command(long[:254] + "é"), "command:" + long[:254], action.ClassHost},
		{action.Event("STOP"), "event:STOP", action.ClassRead},
		{action.Event("VNC_CONNECTED"), "event:VNC_CONNECTED", action.ClassSensitiveRead},
		{action.Event("NEW"), "event:NEW", action.ClassSensitiveRead},
		{action.Event(long + "y"), "event:" + long, action.ClassSensitiveRead},
		{action.ReadProperties(), "read-properties", action.ClassRead},
		{action.Introspect(), "introspect", action.ClassRead},
		{action.Subscribe(), "subscribe", action.ClassRead},
	} {
		if got := tt.action.String(); got != tt.name {
			t.Errorf("name = %q, want %q", got, tt.name)
		}
		if got := tt.action.Class(); got != tt.class {
			t.Errorf("%q: class = %q, want %q", tt.name, got, tt.class)
		}
	}
}
